"""What comes in: single images, and shards of them. Everything here treats its input as hostile."""

from visionfleet.hub.staging.ingest.images import MAX_IMAGE_BYTES, BadImage, ImageInfo, check_image
from visionfleet.hub.staging.ingest.shards import (
    MAX_SHARD_BYTES,
    NOTIFICATION_NAME,
    Entry,
    Notification,
    Rejected,
    ShardLimits,
    read_shard,
)
from visionfleet.hub.staging.ingest.tar import BadShard

__all__ = [
    "MAX_IMAGE_BYTES",
    "MAX_SHARD_BYTES",
    "NOTIFICATION_NAME",
    "BadImage",
    "BadShard",
    "Entry",
    "ImageInfo",
    "Notification",
    "Rejected",
    "ShardLimits",
    "check_image",
    "read_shard",
]
