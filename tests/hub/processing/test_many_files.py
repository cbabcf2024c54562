"""More files than a page of the database, an archive, or a request that deletes from a bucket may have: 1000 each."""

from __future__ import annotations

from sqlalchemy import select

from tests.hub.processing.test_processing import exported, finish, lease, start_job
from tests.hub.support import STAGING, Api, Clock, jpeg
from visionfleet.hub.housekeeping import sweep
from visionfleet.hub.processing.outputs import Output, add_files
from visionfleet.hub.staging.batches import SECONDS_A_DAY
from visionfleet.hub.store.tables import ContentType, Stage

FILES = {f"{n:04d}.jpg": f"picture {n}".encode() for n in range(1005)}


def test_a_job_of_more_than_a_thousand_files_is_exported_whole_and_removed_whole(api: Api, clock: Clock) -> None:
    api.upload("photos", "one.jpg", jpeg(1))
    start_job(api)
    held = lease(api)
    write_files(api)
    finish(api, held)
    files = exported(api)
    assert {name: files[f"grey/{name}"] for name in FILES} == FILES
    assert len(files) == len(FILES) + 2, "the image's own file and the record"
    listing = api.get(f"{STAGING}/j1-export/list", partName="grey").json()["filesMetadata"]
    assert [file["fileName"] for file in listing] == ["grey-0001.tar", "grey-0002.tar"]
    clock.advance(8 * SECONDS_A_DAY)
    assert sweep(api.hub) == 3
    assert list(api.hub.storage.list("batches")) == []


def write_files(api: Api) -> None:
    """What a worker's uploads and commits leave, without the thousand requests."""
    with api.hub.store.write() as session:
        row = session.scalars(select(Stage.output_batch_row)).one()
        keys = {name: f"batches/{row}/files/grey/many/{name}" for name in FILES}
        for name, key in keys.items():
            api.hub.storage.put(key, FILES[name])
        outputs = [Output("grey", name, keys[name], len(FILES[name]), ContentType.IMAGES) for name in FILES]
        add_files(session, row, outputs)
