"""devices and their reports"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("api_keys", schema=None) as batch_op:
        columns = ["workspace", "role", "name"]
        batch_op.create_index(batch_op.f("ix_api_keys_workspace_role_name"), columns, unique=False)

    op.create_table(
        "devices",
        sa.Column("workspace", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("seen_at", sa.Float(precision=53), nullable=False),
        sa.Column("reported_at", sa.Float(precision=53), nullable=False),
        sa.Column("health", sa.String(length=16), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "name", name=op.f("pk_devices")),
    )

    op.create_table(
        "device_reports",
        sa.Column("row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("workspace", sa.String(length=64), nullable=False),
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("reported_at", sa.Float(precision=53), nullable=False),
        sa.Column("received_at", sa.Float(precision=53), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("row", name=op.f("pk_device_reports")),
        sa.UniqueConstraint(
            "workspace", "device", "reported_at", name=op.f("uq_device_reports_workspace_device_reported_at")
        ),
    )
    with op.batch_alter_table("device_reports", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_device_reports_received_at"), ["received_at"], unique=False)


def downgrade() -> None:
    op.drop_table("device_reports")
    op.drop_table("devices")
    with op.batch_alter_table("api_keys", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_api_keys_workspace_role_name"))
