"""Pictures whose answer is known: asked of the server that runs, and compared.

Every key of the expected answer must be in the server's, which may say more. Lists are of the same length. A whole
number, a text and a truth are the same; where a fraction is on either side, it is within the tolerance, of the larger
number or of 1, whichever is more: 0.05 lets a confidence of 0.90 be 0.86, and an x of 400 be 385.
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any, Dict, List, cast

from visionfleet_device.paths import Paths
from visionfleet_device.server import Server

_TASKS = {
    "object-detection": "/infer/object_detection",
    "instance-segmentation": "/infer/instance_segmentation",
    "semantic-segmentation": "/infer/semantic_segmentation",
    "keypoint-detection": "/infer/keypoints_detection",
    "classification": "/infer/classification",
    "multi-label-classification": "/infer/classification",
}


def problem(paths: Paths, server: Server, release: dict[str, Any], golden: dict[str, Any]) -> str | None:
    """What is wrong with the server's answer to a golden, in a sentence; None where it is as expected."""
    named = f"golden '{golden['name']}'"
    try:
        image = paths.object(golden["image"]).read_bytes()
        expected = json.loads(paths.object(golden["expected"]).read_bytes())
    except (OSError, ValueError) as error:
        return f"{named} cannot be read on this device: {error}"
    path, body = request(release, golden, image)
    reply = server.infer(path, body)
    if reply.status != 200:
        return f"{named} was not answered by the server: {reply.said}"
    found = difference(expected, reply.body, float(golden["tolerance"]))
    return f"{named} is answered otherwise than expected: {found}" if found else None


def request(release: dict[str, Any], golden: dict[str, Any], image: bytes) -> tuple[str, dict[str, Any]]:
    """Path and body by which a golden is asked, without the key."""
    picture = {"type": "base64", "value": base64.b64encode(image).decode()}
    if golden.get("workflow"):
        path = f"/infer/workflows/{release['workspace']}/{golden['workflow']}"
        return path, {"inputs": {golden.get("image_input", "image"): picture}}
    return _TASKS[golden["task"]], {"model_id": golden["model"], "image": picture}


def difference(expected: object, answer: object, tolerance: float, where: str = "the answer") -> str | None:
    """The first place where an answer is not as expected, in words; None where there is none."""
    if isinstance(expected, dict):
        return _in_object(cast("Dict[str, Any]", expected), answer, tolerance, where)
    if isinstance(expected, list):
        return _in_list(cast("List[Any]", expected), answer, tolerance, where)
    if _is_number(expected) and _is_number(answer):
        return _in_number(cast("float", expected), cast("float", answer), tolerance, where)
    if type(expected) is type(answer) and expected == answer:
        return None
    return f"{where} is {_shown(answer)}, expected {_shown(expected)}"


def _in_object(expected: dict[str, Any], answer: object, tolerance: float, where: str) -> str | None:
    if not isinstance(answer, dict):
        return f"{where} is {_shown(answer)}, expected an object"
    said = cast("Dict[str, Any]", answer)
    for key, value in expected.items():
        if key not in said:
            return f"{where} has no '{key}'"
        found = difference(value, said[key], tolerance, f"{where}.{key}")
        if found:
            return found
    return None


def _in_list(expected: list[Any], answer: object, tolerance: float, where: str) -> str | None:
    if not isinstance(answer, list):
        return f"{where} is {_shown(answer)}, expected a list"
    said = cast("List[Any]", answer)
    if len(said) != len(expected):
        return f"{where} has {len(said)} entries, expected {len(expected)}"
    pairs = enumerate(zip(expected, said))
    differences = (difference(want, got, tolerance, f"{where}[{index}]") for index, (want, got) in pairs)
    return next(filter(None, differences), None)


def _in_number(expected: float, answer: float, tolerance: float, where: str) -> str | None:
    exact = isinstance(expected, int) and isinstance(answer, int)  # a count, an id of a class
    if expected == answer:
        return None
    if not exact and math.isclose(expected, answer, rel_tol=tolerance, abs_tol=tolerance):
        return None
    return f"{where} is {answer}, expected {expected}" + ("" if exact else f" within {tolerance}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "…"
