import os
import subprocess
import sys


def test_importing_the_federation_starts_nothing_and_changes_no_environment():
    code = (
        "import os, sys; before = dict(os.environ);"
        "import ecc_fed.hosts.start, ecc_fed.federation.flower.server_app, ecc_fed.federation.flower.client_app;"
        "print(sorted({'ray', 'torch', 'hydra'} & set(sys.modules)), dict(os.environ) == before)"
    )
    environment = {**os.environ, "GRPC_VERBOSITY": "error"}  # importing flwr sets it by itself
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["[]", "True"]
    assert done.stderr == ""


def test_a_run_starts_without_what_its_hosts_alone_need():
    code = (
        "import sys; import ecc_fed.cli.run, ecc_fed.cli.study; "
        "print(sorted({'torch', 'peft', 'transformers', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "[]"


def test_the_shared_engine_spares_the_import_of_peft():
    code = "import sys; import ecc_fed.end_model.engines.shared.engine; print('peft' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "False"
