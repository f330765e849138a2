"""Compares the workspace's dependencies (`cargo metadata`) with ci/dependencies.toml.

`check` is a function from the two documents to a list of faults, so that `canary` can show, on spoilt copies of the
real metadata, that each rule does fail when it is broken.
"""

import copy
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import rust_source

ROOT = rust_source.ROOT
HOST = "x86_64-unknown-linux-gnu"


def check(metadata, linked, sources, examples, rules):
    """Every fault, as one line of text each.

    `linked` are the names of the crates that the core is linked with, `sources` the code of each crate by its
    name, `examples` that of the examples in its documentation, which are tests.
    """
    packages = {package["id"]: package for package in metadata["packages"]}
    members = [packages[member] for member in metadata["workspace_members"]]
    return [
        *layer_faults(members, rules["layers"]),
        *direct_faults(members, rules["layers"], rules["direct"]),
        *unused_faults(members, sources, examples),
        *core_faults(linked, rules["core"]["tree"]),
        *licence_faults(metadata["packages"], members, set(rules["licences"]["allowed"])),
    ]


def layer_faults(members, layers):
    for member in members:
        name = member["name"]
        if name not in layers:
            yield f"{name}: has no place in [layers]"
            continue
        for dependency in member["dependencies"]:
            below = layers.get(dependency["name"])
            if below is None or dependency["kind"] == "dev":
                continue
            if below >= layers[name]:
                yield f"{name} (layer {layers[name]}) depends on {dependency['name']} (layer {below}): layers go one way"


def direct_faults(members, layers, direct):
    for member in members:
        name = member["name"]
        listed = direct.get(name, {})
        used = {dependency["name"] for dependency in member["dependencies"]} - set(layers)
        for dependency in sorted(used - set(listed)):
            yield f"{name}: depends on {dependency}, which has no reason in [direct.{name}]"
        for dependency in sorted(set(listed) - used):
            yield f"{name}: [direct.{name}] lists {dependency}, which is not a dependency any more"
        for dependency, reason in listed.items():
            if not reason.strip():
                yield f"{name}: [direct.{name}] gives no reason for {dependency}"


def unused_faults(members, sources, examples):
    for member in members:
        for dependency in member["dependencies"]:
            name = (dependency["rename"] or dependency["name"]).replace("-", "_")
            code = sources[member["name"]]
            if dependency["kind"] == "dev":
                code += examples[member["name"]]
            if not re.search(rf"\b{name}\b", code):
                yield f"{member['name']}: nothing in its code names {dependency['name']}, which it depends on"


def core_faults(linked, tree):
    for name in sorted(linked - set(tree)):
        yield f"pelton-core: {name} would be linked into the core; it is not in [core] tree"
    for name in sorted(set(tree) - linked):
        yield f"pelton-core: [core] tree lists {name}, which is not linked into the core any more"


def licence_faults(packages, members, allowed):
    own = {member["id"] for member in members}
    for package in packages:
        if package["id"] in own:
            continue
        if not acceptable(package["license"] or "none", allowed):
            yield f"{package['name']} {package['version']}: licence {package['license']} is not in [licences] allowed"


def acceptable(expression, allowed):
    """Reads an SPDX expression of OR, AND and one level of brackets, and the older `A/B` for `A OR B`."""
    flat = re.sub(r"\(([^()]*)\)", lambda inner: "ok" if acceptable(inner[1], allowed) else "bad", expression)
    either = re.split(r" OR |/", flat)
    return any(all(one.strip().rstrip("+") in allowed | {"ok"} for one in each.split(" AND ")) for each in either)


def canary(metadata, linked, sources, examples, rules):
    """Breaks one rule at a time; returns the rules whose breaking went unnoticed."""

    def package(document, name):
        return next(package for package in document["packages"] if package["name"] == name)

    def upwards(document, _):
        package(document, "pelton-core")["dependencies"].append({"name": "pelton-runtime", "kind": None, "rename": None})

    def unlisted(document, _):
        package(document, "pelton-runtime")["dependencies"].append({"name": "left-pad", "kind": None, "rename": None})

    def stale(_, lists):
        lists["direct"]["pelton-core"]["left-pad"] = "no longer needed"

    def unreasoned(_, lists):
        lists["direct"]["pelton-core"]["rkyv"] = " "

    def impure(_, lists):
        lists["core"]["tree"].remove("hashbrown")

    def licence(document, _):
        package(document, "rkyv")["license"] = "MIT AND SSPL-1.0"

    def unused(document, lists):
        # Listed with a reason, and named by nothing.
        package(document, "pelton-core")["dependencies"].append({"name": "left-pad", "kind": None, "rename": None})
        lists["direct"]["pelton-core"]["left-pad"] = "pads"

    def unused_by_tests(document, _):
        package(document, "pelton-core")["dependencies"].append({"name": "pelton-bench", "kind": "dev", "rename": None})

    def homeless(_, lists):
        del lists["layers"]["pelton-bench"]

    canaries = {
        upwards: "layers go one way",
        unlisted: "has no reason in",
        stale: "is not a dependency any more",
        unreasoned: "gives no reason",
        impure: "would be linked into the core",
        licence: "is not in [licences]",
        unused: "nothing in its code names",
        unused_by_tests: "nothing in its code names",
        homeless: "has no place in [layers]",
    }
    unnoticed = []
    for spoil, expected in canaries.items():
        document, lists = copy.deepcopy(metadata), copy.deepcopy(rules)
        spoil(document, lists)
        if not any(expected in fault for fault in check(document, linked, sources, examples, lists)):
            unnoticed.append(spoil.__name__)
    return unnoticed


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments, "--locked"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def read(package, part):
    """The code of a crate, or of its examples, as `part` finds it in a text."""
    folder = Path(package["manifest_path"]).parent.relative_to(ROOT)
    return "".join(part((ROOT / path).read_text()) for path in rust_source.files(folder))


def main():
    metadata = json.loads(cargo("metadata", "--format-version", "1", "--filter-platform", HOST))
    # Not from the metadata: its graph joins the features that all crates of the workspace ask for.
    tree = cargo("tree", "--package", "pelton-core", "--edges", "normal,no-proc-macro", "--prefix", "none")
    linked = {line.split()[0] for line in tree.splitlines() if line.strip()} - {"pelton-core"}
    own = [package for package in metadata["packages"] if package["source"] is None]
    sources = {package["name"]: read(package, rust_source.code) for package in own}
    examples = {package["name"]: read(package, rust_source.examples) for package in own}
    rules = tomllib.loads((ROOT / "ci/dependencies.toml").read_text())
    faults = check(metadata, linked, sources, examples, rules)
    for fault in faults:
        print(f"dependencies: {fault}", file=sys.stderr)
    if faults:
        return 1
    unnoticed = canary(metadata, linked, sources, examples, rules)
    for name in unnoticed:
        print(f"dependencies: the check itself is broken: it did not notice canary '{name}'", file=sys.stderr)
    direct = sum(len(listed) for listed in rules["direct"].values())
    print(f"{direct} direct dependencies, {len(metadata['packages'])} packages in all; layers go one way")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
