"""the first tables"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("workspace", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("revoked_at", sa.Float(precision=53), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_keys_digest")),
    )
    op.create_table(
        "jobs",
        sa.Column("row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("workspace", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.Column("input_batch_row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("current_stage", sa.String(length=32), nullable=False),
        sa.Column("error", sa.Boolean(), nullable=False),
        sa.Column("is_terminal", sa.Boolean(), nullable=False),
        sa.Column("notification", sa.String(length=1024), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("updated_at", sa.Float(precision=53), nullable=False),
        sa.Column("deadline", sa.Float(precision=53), nullable=True),
        sa.PrimaryKeyConstraint("row", name=op.f("pk_jobs")),
        sa.UniqueConstraint("workspace", "job_id", name=op.f("uq_jobs_workspace_job_id")),
    )
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_jobs_input_batch_row"), ["input_batch_row"], unique=False)

    op.create_table(
        "batches",
        sa.Column("row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("workspace", sa.String(length=64), nullable=False),
        sa.Column("batch_id", sa.String(length=64), nullable=False),
        sa.Column("display_name", sa.String(length=256), nullable=False),
        sa.Column("batch_type", sa.String(length=32), nullable=False),
        sa.Column("content_type", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("expires_at", sa.Float(precision=53), nullable=False),
        sa.Column("job_row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.ForeignKeyConstraint(["job_row"], ["jobs.row"], name=op.f("fk_batches_job_row"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("row", name=op.f("pk_batches")),
        sa.UniqueConstraint("workspace", "batch_id", name=op.f("uq_batches_workspace_batch_id")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("batches", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_batches_expires_at"), ["expires_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_batches_job_row"), ["job_row"], unique=False)

    op.create_table(
        "job_logs",
        sa.Column("row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("job_row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("stage_id", sa.String(length=32), nullable=True),
        sa.Column("task_id", sa.String(length=32), nullable=True),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("module", sa.String(length=32), nullable=False),
        sa.Column("log_type", sa.String(length=64), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(["job_row"], ["jobs.row"], name=op.f("fk_job_logs_job_row"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("row", name=op.f("pk_job_logs")),
    )
    with op.batch_alter_table("job_logs", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_job_logs_job_row"), ["job_row"], unique=False)

    op.create_table(
        "files",
        sa.Column("row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("batch_row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("part", sa.String(length=128), nullable=False),
        sa.Column("shard_id", sa.String(length=32), nullable=True),
        sa.Column("name", sa.String(length=512), nullable=False),
        sa.Column("content_type", sa.String(length=32), nullable=False),
        sa.Column("object_key", sa.String(length=512), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["batch_row"], ["batches.row"], name=op.f("fk_files_batch_row"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("row", name=op.f("pk_files")),
        sa.UniqueConstraint("batch_row", "part", "name", name=op.f("uq_files_batch_row_part_name")),
    )
    with op.batch_alter_table("files", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_files_batch_row_row"), ["batch_row", "row"], unique=False)

    op.create_table(
        "parts",
        sa.Column("batch_row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("content_type", sa.String(length=32), nullable=False),
        sa.Column("nested_content_type", sa.String(length=32), nullable=True),
        sa.Column("description", sa.String(length=256), nullable=False),
        sa.ForeignKeyConstraint(["batch_row"], ["batches.row"], name=op.f("fk_parts_batch_row"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("batch_row", "name", name=op.f("pk_parts")),
    )
    op.create_table(
        "shards",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("batch_row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("object_key", sa.String(length=512), nullable=False),
        sa.Column("status_name", sa.String(length=32), nullable=False),
        sa.Column("status_type", sa.String(length=16), nullable=False),
        sa.Column("objects_count", sa.Integer(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("event_at", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(["batch_row"], ["batches.row"], name=op.f("fk_shards_batch_row"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shards")),
        sa.UniqueConstraint("object_key", name=op.f("uq_shards_object_key")),
    )
    with op.batch_alter_table("shards", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_shards_batch_row"), ["batch_row"], unique=False)

    op.create_table(
        "stages",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("job_row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("output_batch_row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("tasks_number", sa.Integer(), nullable=False),
        sa.Column("max_parallel", sa.Integer(), nullable=True),
        sa.Column("status_type", sa.String(length=16), nullable=False),
        sa.Column("notification", sa.String(length=1024), nullable=False),
        sa.Column("started_at", sa.Float(precision=53), nullable=False),
        sa.Column("event_at", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(["job_row"], ["jobs.row"], name=op.f("fk_stages_job_row"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["output_batch_row"], ["batches.row"], name=op.f("fk_stages_output_batch_row"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stages")),
    )
    with op.batch_alter_table("stages", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_stages_job_row"), ["job_row"], unique=False)
        batch_op.create_index(batch_op.f("ix_stages_output_batch_row"), ["output_batch_row"], unique=False)

    op.create_table(
        "tasks",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("job_row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("stage_id", sa.String(length=32), nullable=True),
        sa.Column("machine_type", sa.String(length=8), nullable=True),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("run_after", sa.Float(precision=53), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(length=128), nullable=True),
        sa.Column("expires_at", sa.Float(precision=53), nullable=False),
        sa.Column("progress", sa.Float(precision=53), nullable=True),
        sa.Column("notification", sa.String(length=1024), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("updated_at", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(["job_row"], ["jobs.row"], name=op.f("fk_tasks_job_row"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["stage_id"], ["stages.id"], name=op.f("fk_tasks_stage_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
    )
    with op.batch_alter_table("tasks", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tasks_job_row"), ["job_row"], unique=False)
        batch_op.create_index(batch_op.f("ix_tasks_stage_id"), ["stage_id"], unique=False)
        columns = ["state", "kind", "machine_type", "run_after"]
        batch_op.create_index(batch_op.f("ix_tasks_state_kind_machine_type_run_after"), columns, unique=False)

    op.create_table(
        "task_images",
        sa.Column("task_id", sa.String(length=32), nullable=False),
        sa.Column("file_row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("chunk", sa.String(length=512), nullable=True),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(["file_row"], ["files.row"], name=op.f("fk_task_images_file_row"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_task_images_task_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("task_id", "file_row", name=op.f("pk_task_images")),
    )
    with op.batch_alter_table("task_images", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_task_images_file_row"), ["file_row"], unique=False)


def downgrade() -> None:
    # a table takes its indexes with it
    for table in (
        "task_images",
        "tasks",
        "stages",
        "shards",
        "parts",
        "files",
        "job_logs",
        "batches",
        "jobs",
        "api_keys",
    ):
        op.drop_table(table)
