"""Prints the rows of rl/src/env/mujoco/layout.rs: where fields lie in mjData and mjModel, by version of MuJoCo.

    python3 rl/tests/mujoco/layouts.py 3.3.7 3.17.0 4.0.0

Downloads the wheel of each version with pip, and asks a C compiler about its headers.
"""

import pathlib
import subprocess
import sys
import tempfile
import zipfile

DATA = ["qpos", "xpos", "xipos", "cinert", "cvel", "qfrc_actuator", "cfrc_ext"]
MODEL = ["body_mass"]
PROGRAM = """
#include <stddef.h>
#include <stdio.h>
#include <mujoco/mujoco.h>
int main(void) {
    printf("    Layout {\\n        version: %%d,\\n", mjVERSION_HEADER);
%s    printf("    },\\n");
    return 0;
}
"""


def row(version, folder):
    package = "mujoco-core" if int(version.split(".")[0]) >= 4 else "mujoco"
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, f"{package}=={version}"]
    subprocess.run(pip, check=True)
    (wheel,) = pathlib.Path(folder).glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder)
    fields = [("mjData", name) for name in DATA] + [("mjModel", name) for name in MODEL]
    lines = [f'    printf("        {name}: %zu,\\n", offsetof({struct}, {name}));\n' for struct, name in fields]
    source, program = pathlib.Path(folder, "layout.c"), pathlib.Path(folder, "layout")
    source.write_text(PROGRAM % "".join(lines))
    subprocess.run(["cc", "-I", f"{folder}/mujoco/include", "-o", program, source], check=True)
    return subprocess.run([program], check=True, capture_output=True, text=True).stdout


def main():
    for version in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            print(row(version, folder), end="", flush=True)


if __name__ == "__main__":
    main()
