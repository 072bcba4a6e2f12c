"""The dashboard as a browser meets it, and what it gives out; after the floating IPs' own story."""

from __future__ import annotations

import re
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from ipaddress import IPv4Address

import pytest
import yaml
from cloud_under_test import DASHBOARD_KEY, CloudUnderTest
from tenants import Town

from pileus.api.images import controller_image
from pileus.system import process

HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')
FLOATING_IPS = "/project/floating_ips/"
ALLOCATE = f"{FLOATING_IPS}allocate/"


class Browser:
    """Keeps cookies, follows redirects, and sends forms with the hidden fields they came with."""

    def __init__(self, cloud: CloudUnderTest) -> None:
        self.url: str = cloud.status["openstack"]["dashboard_url"].rstrip("/")
        self.cookies = CookieJar()
        self._open = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.cookies)
        ).open

    def get(self, path: str) -> str:
        with self._open(self.url + path, timeout=60) as page:
            return str(page.read().decode())

    def send(self, path: str, **fields: str) -> str:
        """Fill in a page's form; the page that answers."""
        return self.post(path, **dict(HIDDEN.findall(self.get(path))), **fields)

    def post(self, path: str, **fields: str) -> str:
        body = urllib.parse.urlencode(fields).encode()
        with self._open(self.url + path, data=body, timeout=60) as page:
            return str(page.read().decode())

    def log_in(self, user: str, password: str) -> str:
        return self.send("/auth/login/", username=user, password=password)

    @property
    def logged_in(self) -> bool:
        return "sessionid" in {cookie.name for cookie in self.cookies} and (
            'id="id_password"' not in self.get("/project/")
        )


def password(cloud: CloudUnderTest) -> str:
    document = yaml.safe_load((cloud.state / "clouds.yaml").read_text())
    return str(document["clouds"][cloud.name]["auth"]["password"])


@pytest.fixture(scope="module")
def browser(cloud: CloudUnderTest) -> Browser:
    """The administrator's, logged in."""
    made = Browser(cloud)
    made.log_in("admin", password(cloud))
    return made


def status_of(url: str, **headers: str) -> int:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - http, as status says
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code


def test_its_address_is_told_and_leads_to_the_login_page(cloud: CloudUnderTest) -> None:
    (node,) = cloud.status["nodes"]
    url = f"http://{node['management_public_ip']}/"
    assert cloud.status["openstack"]["dashboard_url"] == url
    assert f"dashboard:  {url}\n" in cloud.pileus("status").stdout
    page = Browser(cloud).get("/")
    assert 'id="id_password"' in page
    files = re.findall(r'(?:href|src)="/(static/[^"]+\.(?:css|js))"', page)
    assert {name.rpartition(".")[2] for name in files} == {"css", "js"}
    assert {status_of(url + name) for name in files} == {200}


def test_from_allow_from_only(cloud: CloudUnderTest) -> None:
    (node,) = cloud.status["nodes"]
    knock = ["nc", "-z", "-w", "1", node["management_public_ip"], "80"]
    before = cloud.dropped("eth0")
    assert process.run(knock, check=False).code == 0
    assert cloud.internet(*knock, check=False).code != 0
    assert set(cloud.rise("eth0", before)) == {"UNDERLAY_SECURITY_GROUP_INGRESS"}


def test_under_its_own_addresses_only(cloud: CloudUnderTest) -> None:
    login = Browser(cloud).url + "/auth/login/"
    assert status_of(login) == 200
    assert status_of(login, Host="elsewhere.example") == 400


@pytest.mark.parametrize("path", ["/static/%2e%2e/secret-key/.secret_key_store", "/static/none"])
def test_no_file_beside_the_static_ones_is_served(cloud: CloudUnderTest, path: str) -> None:
    assert status_of(Browser(cloud).url + path) == 404


def test_pages_tell_browsers_to_be_careful(cloud: CloudUnderTest) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(Browser(cloud).url + "/auth/login/", timeout=60) as answer:
        told = answer.headers
    assert told["X-Frame-Options"] in ("DENY", "SAMEORIGIN")
    assert told["X-Content-Type-Options"] == "nosniff"
    assert told["Referrer-Policy"] == "same-origin"


def test_the_administrator_logs_in(browser: Browser) -> None:
    assert browser.logged_in
    session = next(cookie for cookie in browser.cookies if cookie.name == "sessionid")
    assert session.has_nonstandard_attr("HttpOnly")


def test_a_wrong_password_is_refused(cloud: CloudUnderTest) -> None:
    stranger = Browser(cloud)
    assert "Invalid credentials" in stranger.log_in("admin", "wrong")
    assert not stranger.logged_in


def test_a_form_without_its_token_is_refused(cloud: CloudUnderTest) -> None:
    stranger = Browser(cloud)
    fields = dict(HIDDEN.findall(stranger.get("/auth/login/")))
    del fields["csrfmiddlewaretoken"]
    stranger.post("/auth/login/", **fields, username="admin", password=password(cloud))
    assert not stranger.logged_in


def test_the_overview_and_the_servers_are_shown(browser: Browser) -> None:
    assert "Limit Summary" in browser.get("/project/")
    servers = browser.get("/project/instances/")
    assert ">web<" in servers
    assert "192.168.20.5" in servers


def test_its_openrc_leads_users_to_the_public_addresses(
    cloud: CloudUnderTest, browser: Browser
) -> None:
    openrc = browser.get("/project/api_access/openrc/")
    assert f'OS_AUTH_URL="{cloud.status["openstack"]["auth_url"]}"' in openrc
    assert 'OS_REGION_NAME="regionOne"' in openrc


def addresses(town: Town) -> dict[str, str]:
    """Each project's floating IPs, by id."""
    return {ip.id: ip.floating_ip_address for ip in town.users.admin.network.ips()}


def test_used_up_addresses_are_refused_with_a_message(browser: Browser, town: Town) -> None:
    before = addresses(town)
    answer = browser.send(ALLOCATE, pool=town.users.external.id)
    assert "Unable to allocate Floating IP" in answer
    assert "No more IP addresses available" in answer
    assert addresses(town) == before


def test_what_is_given_back_is_given_out_again_and_no_other(browser: Browser, town: Town) -> None:
    before = addresses(town)
    (spare,) = [one for one, address in before.items() if IPv4Address(address) == town.spare]
    browser.send(FLOATING_IPS, action=f"floating_ips__release__{spare}")
    assert spare not in addresses(town)
    answer = browser.send(ALLOCATE, pool=town.users.external.id)
    assert f"Allocated Floating IP {town.spare}" in answer
    assert sorted(addresses(town).values()) == sorted(before.values())


def test_its_key_is_the_machines_own_and_not_in_the_image(cloud: CloudUnderTest) -> None:
    seen = cloud.controller("sudo", "stat", "--format=%a %U", DASHBOARD_KEY).stdout
    assert seen == "600 horizon\n"
    in_image = controller_image().root / DASHBOARD_KEY.lstrip("/")
    assert in_image.parent.is_dir()
    assert not in_image.exists()


def test_whoever_is_logged_in_stays_so_when_it_is_restarted(
    cloud: CloudUnderTest, browser: Browser
) -> None:
    cloud.controller("sudo", "systemctl", "restart", "horizon")
    assert browser.logged_in
