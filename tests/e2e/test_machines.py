"""A machine more beside the cloud's, as whoever uses the simulated region by itself launches it."""

from __future__ import annotations

from cloud_under_test import CloudUnderTest, until

USER_DATA = """\
#cloud-config
bootcmd: [[sh, -c, "mkdir -p /told; echo first >/told/first"]]
write_files: [{path: /told/written, content: "written\\n"}]
runcmd: [[sh, -c, "cat /told/first /told/written >/told/new; mv /told/new /told/all"]]
"""


def test_a_machine_does_what_its_user_data_says(cloud: CloudUnderTest) -> None:
    (node,) = cloud.status["nodes"]
    found = cloud.ec2.describe_instances(InstanceIds=[node["instance_id"]])
    like = found["Reservations"][0]["Instances"][0]
    launched = cloud.ec2.run_instances(
        ImageId=like["ImageId"],
        SubnetId=like["SubnetId"],
        UserData=USER_DATA,
        InstanceType="t3.small",
        MinCount=1,
        MaxCount=1,
    )
    made = launched["Instances"][0]["InstanceId"]
    look = ("sim", "exec", made, "--", "cat", "/told/all")
    try:
        told = until("its user data", lambda: cloud.pileus(*look, check=False).stdout, 90)
        assert told == "first\nwritten\n"
    finally:
        cloud.ec2.terminate_instances(InstanceIds=[made])
