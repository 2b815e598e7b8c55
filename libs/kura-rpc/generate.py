"""Writes the Python stubs of proto/ into kura.rpc; `--check` only says whether they are up to date.

The modules live below `kura.rpc` because `kura.aggregator` and `kura.scheduler` are services: kura/tasks/v1/tasks.proto
becomes kura.rpc.tasks.v1.tasks_pb2. protoc cannot be told so, hence imports are rewritten here. It writes no types for
the gRPC half either, hence the `_pb2_grpc.pyi` files are written here too.
"""

import re
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet, ServiceDescriptorProto
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[2]
PROTO = ROOT / "proto"
TARGET = ROOT / "libs/kura-rpc/src/kura/rpc"
OUR_IMPORT = re.compile(r"^from kura\.(\w+)\.(v\d+) import (\w+_pb2)", re.MULTILINE)
BARE_MAPPING = re.compile(r"\b_Mapping\]")


def main(arguments: list[str]) -> int:
    wanted = generated_files()
    if "--check" not in arguments:
        write(wanted)
        return 0

    stale = sorted(str(path) for path, text in wanted.items() if not path.exists() or path.read_text() != text)
    stale += sorted(str(path) for path in existing_files() - wanted.keys())
    for path in stale:
        sys.stderr.write(f"not as generated: {path}\n")
    return 1 if stale else 0


def generated_files() -> dict[Path, str]:
    """Every file the protos call for, by its path in the source tree."""
    protos = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    found: dict[Path, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        compile_protos(protos, out)
        descriptors = FileDescriptorSet.FromString((out / "all.binpb").read_bytes())

        for path in sorted(out.rglob("*.py*")):
            below_kura = path.relative_to(out / "kura")
            if path.name.endswith("_pb2_grpc.py") and not services(descriptors, below_kura):
                continue
            text = OUR_IMPORT.sub(r"from kura.rpc.\1.\2 import \3", path.read_text())
            found[TARGET / below_kura] = BARE_MAPPING.sub("_Mapping[str, object]]", text)

    for descriptor in descriptors.file:
        module = Path(descriptor.name).relative_to("kura").with_suffix("")
        if descriptor.service:
            found[TARGET / f"{module}_pb2_grpc.pyi"] = grpc_types(descriptor)
        for folder_of_package in (module.parent, module.parent.parent):
            found[TARGET / folder_of_package / "__init__.py"] = (
                f'"""Generated from proto/kura/{folder_of_package}."""\n'
            )
    return found


def compile_protos(protos: list[str], out: Path) -> None:
    well_known = str(files("grpc_tools") / "_proto")
    outputs = [f"--python_out={out}", f"--pyi_out={out}", f"--grpc_python_out={out}"]
    descriptors = f"--descriptor_set_out={out / 'all.binpb'}"
    failed = protoc.main(["protoc", f"-I{PROTO}", f"-I{well_known}", *outputs, descriptors, *protos])
    if failed:
        raise SystemExit(failed)


def services(descriptors: FileDescriptorSet, grpc_module: Path) -> list[ServiceDescriptorProto]:
    name = f"kura/{grpc_module}".removesuffix("_pb2_grpc.py") + ".proto"
    return [service for each in descriptors.file if each.name == name for service in each.service]


def grpc_types(descriptor: FileDescriptorProto) -> str:
    """Types of the stub and the servicer of one file, for asyncio."""
    modules: set[str] = set()

    def python_type(full_name: str) -> str:
        area, version, message = re.fullmatch(r"\.kura\.(\w+)\.(v\d+)\.(\w+)", full_name).groups()  # type: ignore[union-attr]
        module = f"{Path(descriptor.name).stem}_pb2"
        modules.add(f"from kura.rpc.{area}.{version} import {module}")
        return f"{module}.{message}"

    blocks: list[str] = []
    for service in descriptor.service:
        stub, servicer = [], []
        for method in service.method:
            asked, answered = python_type(method.input_type), python_type(method.output_type)
            kind = "UnaryStreamMultiCallable" if method.server_streaming else "UnaryUnaryMultiCallable"
            result = f"AsyncIterator[{answered}]" if method.server_streaming else answered
            prefix = "" if method.server_streaming else "async "
            stub.append(f"    {method.name}: aio.{kind}[{asked}, {answered}]")
            servicer.append(
                f"    {prefix}def {method.name}(\n"
                f"        self, request: {asked}, context: aio.ServicerContext[{asked}, {answered}]\n"
                f"    ) -> {result}: ..."
            )
        name = service.name
        head = f"class {name}Stub:\n    def __init__(self, channel: aio.Channel) -> None: ...\n"
        blocks.append(head + "\n".join(stub))
        blocks.append(f"class {name}Servicer:\n" + "\n".join(servicer))
        blocks.append(f"def add_{name}Servicer_to_server(servicer: {name}Servicer, server: aio.Server) -> None: ...")
    imports = ["from collections.abc import AsyncIterator", "", "from grpc import aio", "", *sorted(modules)]
    return "\n".join(imports) + "\n\n" + "\n\n".join(blocks) + "\n"


def existing_files() -> set[Path]:
    folders = [TARGET / path.name for path in (PROTO / "kura").iterdir()]
    return {path for folder in folders for path in folder.rglob("*.py*") if path.suffix in {".py", ".pyi"}}


def write(wanted: dict[Path, str]) -> None:
    for path in existing_files() - wanted.keys():
        path.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
