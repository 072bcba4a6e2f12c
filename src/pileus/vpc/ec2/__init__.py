"""The EC2 API of the simulated region: moto's, made as strict as AWS's."""
