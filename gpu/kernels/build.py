#!/usr/bin/env python3
"""Compiles the kernels of this folder to PTX, and reports what they take of the devices that we build for.

    build.py            writes ptx/*.ptx, and resources.txt where ptxas is there
    build.py --check    compares with what is there instead; exit code 1 where something differs

Needs the Python packages nvidia-cuda-nvrtc and, for the report, nvidia-cuda-nvcc, both of VERSION. Without the first it
says so and exits with code 77. It needs no GPU.
"""

import ctypes
import hashlib
import pathlib
import re
import subprocess
import sys
import tempfile

# The oldest of CUDA 13: drivers from 580 on read its PTX.
VERSION = "13.0.88"
# What runs on devices from Ampere on; newer ones compile it for themselves.
SHIPPED = "compute_80"
REPORTED = ["80", "90", "100"]
# Keep `OPTIONS` of src/kernels/source.rs the same.
OPTIONS = ["--std=c++17", "--fmad=false"]

HERE = pathlib.Path(__file__).resolve().parent


class Nvrtc:
    """The compiler, as a library."""

    def __init__(self, folder):
        ctypes.CDLL(str(next(folder.glob("lib/libnvrtc-builtins.so*"))), mode=ctypes.RTLD_GLOBAL)
        self.library = ctypes.CDLL(str(folder / "lib" / "libnvrtc.so.13"))

    def ptx(self, name, source, architecture):
        program = ctypes.c_void_p()
        self.call("nvrtcCreateProgram", ctypes.byref(program), source.encode(), name.encode(), 0, None, None)
        options = [f"--gpu-architecture={architecture}", *OPTIONS]
        array = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        if self.library.nvrtcCompileProgram(program, len(options), array) != 0:
            sys.exit(f"{name}: {self.text(program, 'nvrtcGetProgramLog')}")
        return self.text(program, "nvrtcGetPTX")

    def text(self, program, function):
        size = ctypes.c_size_t()
        self.call(function + "Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self.call(function, program, buffer)
        return buffer.value.decode()

    def call(self, function, *arguments):
        code = getattr(self.library, function)(*arguments)
        if code != 0:
            sys.exit(f"{function}: code {code}")


def cuda_folder():
    """Where the packages have put NVRTC, if they are of the version that we want."""
    from importlib import metadata

    try:
        found = metadata.version("nvidia-cuda-nvrtc")
    except metadata.PackageNotFoundError:
        print("skipped: no nvidia-cuda-nvrtc")
        sys.exit(77)
    if found != VERSION:
        print(f"skipped: nvidia-cuda-nvrtc is {found}, what is here was made by {VERSION}")
        sys.exit(77)
    return pathlib.Path(metadata.distribution("nvidia-cuda-nvrtc").locate_file("nvidia/cu13"))


def sources():
    common = (HERE / "common.cuh").read_text()
    return {file.stem: common + file.read_text() for file in sorted(HERE.glob("*.cu"))}


def shipped(nvrtc, name, source):
    """With the hash of its source, by which a test without NVRTC sees that it is of this source."""
    digest = hashlib.sha256(source.encode()).hexdigest()
    ptx = nvrtc.ptx(name + ".cu", source, SHIPPED)
    ptx = "".join(line.rstrip() + "\n" for line in ptx.splitlines()).rstrip("\n") + "\n"
    return f"// Made by kernels/build.py from source {digest}\n{ptx}"


def report(nvrtc, ptxas):
    lines = ["kernel              device  registers  shared  stack  spills"]
    for name, source in sources().items():
        for device in REPORTED:
            with tempfile.TemporaryDirectory() as folder:
                file = pathlib.Path(folder) / f"{name}.ptx"
                file.write_text(nvrtc.ptx(name + ".cu", source, f"compute_{device}"))
                command = [ptxas, "-v", f"-arch=sm_{device}", "-o", "/dev/null", str(file)]
                said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
            lines += list(rows(said, device))
    return "\n".join([lines[0], *sorted(lines[1:])]) + "\n"


def rows(said, device):
    pattern = (
        r"Function properties for (\w+)\s+(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
        r"\s+ptxas info\s+: Used (\d+) registers([^\n]*)"
    )
    for kernel, stack, stores, loads, registers, rest in re.findall(pattern, said):
        shared = re.search(r"(\d+) bytes smem", rest)
        shared = int(shared[1]) if shared else 0
        yield f"{kernel:<18}  sm_{device:<4}  {registers:>8}  {shared:>6}  {stack:>5}  {int(stores) + int(loads):>6}"


def main():
    folder = cuda_folder()
    nvrtc = Nvrtc(folder)
    made = {HERE / "ptx" / f"{name}.ptx": shipped(nvrtc, name, source) for name, source in sources().items()}
    ptxas = folder / "bin" / "ptxas"
    if ptxas.exists():
        made[HERE / "resources.txt"] = report(nvrtc, ptxas)
    else:
        print("no report: no nvidia-cuda-nvcc")
    if "--check" not in sys.argv[1:]:
        for file, text in made.items():
            file.write_text(text)
        return
    differing = [str(file) for file, text in made.items() if not file.exists() or file.read_text() != text]
    if differing:
        sys.exit("not of their sources; run kernels/build.py: " + ", ".join(differing))
    print(f"{len(made)} files are of their sources")


if __name__ == "__main__":
    main()
