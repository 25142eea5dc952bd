import sys
from pathlib import Path

import pytest

from ecc_fed.hosts.search_path import job_config


def test_hosts_look_in_the_working_folder_where_this_process_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path, looked_in in (([], False), (["/elsewhere"], False), ([str(tmp_path)], True), ([""], True)):
        monkeypatch.setattr(sys, "path", [*path, *(entry for entry in sys.path if entry not in ("", str(tmp_path)))])
        config = job_config()
        config._py_driver_sys_path.extend([str(tmp_path)])  # as `ray.init` does
        assert (str(tmp_path) in config._py_driver_sys_path) is looked_in
