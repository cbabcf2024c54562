"""One request's way: its images are downloaded, run, split into records and files, uploaded and committed.

An image that cannot be processed fails alone: the rest of its request is committed all the same.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

from visionfleet.protocol import (
    MAX_ITEMS,
    MAX_REQUEST_BYTES,
    ImageError,
    Lease,
    LeaseImage,
    ResultItem,
    ResultsAnswer,
)
from visionfleet.worker.errors import ImageFailed, NoAnswer, RequestRejected
from visionfleet.worker.hub import Hub
from visionfleet.worker.inference import InferenceServer, Outputs
from visionfleet.worker.outputs import FileData, Saving, split_outputs
from visionfleet.worker.together import together

BACK_AGAIN_SECONDS = 30.0  # for an inference server that broke a connection to be ready again

_Answer: TypeAlias = Outputs | ImageFailed


class _Fetched(NamedTuple):
    image: LeaseImage
    data: bytes


class _Result(NamedTuple):
    item: ResultItem
    files: tuple[FileData, ...] = ()


class Slots(asyncio.Semaphore):
    """Holds the number of requests that are with the inference server at once to `size`."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class Requests:
    """Runs requests for one lease."""

    def __init__(self, lease: Lease, hub: Hub, inference: InferenceServer, slots: Slots) -> None:
        self._lease = lease
        self._hub = hub
        self._inference = inference
        self._slots = slots
        only = None if lease.image_outputs is None else frozenset(lease.image_outputs)
        self._saving = Saving(lease.save_images, only)

    async def run(self, images: Sequence[LeaseImage]) -> ResultsAnswer:
        """Process `images` and commit a result for each; gives how the task stands then."""
        fetched = await together(self._fetch(image) for image in images)
        ready = [item for item in fetched if isinstance(item, _Fetched)]
        missing = [item for item in fetched if isinstance(item, _Result)]
        async with self._slots:
            answers = await self._infer(ready)
        results = [self._result(item.image, answer) for item, answer in zip(ready, answers, strict=True)]
        return await self._commit([*missing, *results])

    async def _fetch(self, image: LeaseImage) -> _Fetched | _Result:
        try:
            return _Fetched(image, await self._hub.download(image.url))
        except ImageFailed as error:
            return _failed(image, error)

    async def _infer(self, images: Sequence[_Fetched]) -> list[_Answer]:
        if not images:
            return []
        try:
            return list[_Answer](await self._inference.run(self._lease, [item.data for item in images]))
        except RequestRejected as error:
            failure = error
        except NoAnswer as error:
            # An image may have brought the server down; but if it stays down, that says nothing about the images.
            if not await self._inference.wait_ready(BACK_AGAIN_SECONDS):
                raise
            failure = ImageFailed("no_answer", str(error))
        if len(images) == 1:
            return [failure]
        return [answer for image in images for answer in await self._infer([image])]

    def _result(self, image: LeaseImage, answer: _Answer) -> _Result:
        if isinstance(answer, ImageFailed):
            return _failed(image, answer)
        try:
            record, files = split_outputs(image.name, answer, self._saving)
        except ImageFailed as error:
            return _failed(image, error)
        return _Result(ResultItem(image_id=image.id, record=record, files=tuple(item.file for item in files)), files)

    async def _commit(self, results: Sequence[_Result]) -> ResultsAnswer:
        await self._upload([file for result in results for file in result.files])
        bodies = _bodies([result.item for result in results])
        return [await self._hub.commit(self._lease, items) for items in bodies][-1]

    async def _upload(self, files: Sequence[FileData]) -> None:
        by_name = {f"{item.file.part}/{item.file.name}": item for item in files}
        for names in _slices(list(by_name), MAX_ITEMS):
            urls = await self._hub.sign_uploads(self._lease, names)
            await together(self._hub.upload(urls[name], by_name[name]) for name in names)


def _failed(image: LeaseImage, error: ImageFailed) -> _Result:
    return _Result(ResultItem(image_id=image.id, error=ImageError(code=error.code, message=str(error)[:4000])))


def _bodies(items: Sequence[ResultItem]) -> Iterator[list[ResultItem]]:
    """Split results so that each part is a body the hub takes."""
    body: list[ResultItem] = []
    size = 0
    for item in items:
        item_size = len(item.model_dump_json().encode())
        if body and (len(body) == MAX_ITEMS or size + item_size > MAX_REQUEST_BYTES - 1024):
            yield body
            body, size = [], 0
        body.append(item)
        size += item_size + 1
    yield body


def _slices(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (names[start : start + size] for start in range(0, len(names), size))
