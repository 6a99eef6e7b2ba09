"""Saved places, centres with what they collect, and the policies of regions."""

from alembic import op

revision = "0001"
down_revision = None

# A point of the unit sphere, in metres from the middle of the Earth: between two of them cube's <-> is the straight
# line through the ground, which grows with the way along the surface. services/locations/earth.py has the same.
POSITION = """
    position cube NOT NULL GENERATED ALWAYS AS (cube(ARRAY[
        6371008.8 * cos(radians(latitude::float8)) * cos(radians(longitude::float8)),
        6371008.8 * cos(radians(latitude::float8)) * sin(radians(longitude::float8)),
        6371008.8 * sin(radians(latitude::float8))
    ])) STORED
"""
COORDINATES = """
    latitude numeric(10, 8) NOT NULL CHECK (latitude BETWEEN -90 AND 90),
    longitude numeric(11, 8) NOT NULL CHECK (longitude BETWEEN -180 AND 180)
"""


def upgrade() -> None:
    op.execute(f"""
        CREATE TABLE user_locations (
            id uuid PRIMARY KEY,
            user_id uuid NOT NULL,
            name varchar(100) NOT NULL,
            address varchar(300) NOT NULL,
            {COORDINATES},
            is_default boolean NOT NULL,
            request_id uuid,
            request_hash bytea,
            created_at timestamptz NOT NULL,
            CONSTRAINT user_locations_request_unique UNIQUE (user_id, request_id)
        )
    """)
    op.execute("CREATE INDEX user_locations_by_user ON user_locations (user_id, id DESC)")
    op.execute("CREATE UNIQUE INDEX user_locations_one_default ON user_locations (user_id) WHERE is_default")
    # open_minutes: when it is known to be open, as services/locations/hours.py counts minutes; derived from the hours.
    op.execute(f"""
        CREATE TABLE recycle_centers (
            id uuid PRIMARY KEY,
            name varchar(200) NOT NULL,
            address text NOT NULL,
            {COORDINATES},
            {POSITION},
            phone varchar(20) NOT NULL,
            website_url text NOT NULL,
            operating_hours jsonb NOT NULL,
            open_minutes int4multirange NOT NULL,
            region_code varchar(5) NOT NULL,
            source varchar(100) NOT NULL,
            source_url text NOT NULL,
            updated_at timestamptz NOT NULL,
            CONSTRAINT recycle_centers_place_unique UNIQUE (id, latitude, longitude)
        )
    """)
    op.execute("CREATE INDEX recycle_centers_nearest ON recycle_centers USING gist (position)")
    op.execute("""
        CREATE INDEX recycle_centers_nearest_with_hours ON recycle_centers USING gist (position)
        WHERE open_minutes <> '{}'
    """)
    # The coordinates again, kept equal by the key, so that the nearest of one kind come from one index.
    op.execute(f"""
        CREATE TABLE disposal_sites (
            center_id uuid NOT NULL,
            kind text NOT NULL CHECK (kind IN ('RECYCLING_CENTER', 'MEDICINE', 'BATTERY', 'LAMP', 'ELECTRONICS',
                'CLOTHING', 'PAPER_PACK', 'ZERO_WASTE_SHOP')),
            {COORDINATES},
            {POSITION},
            items text NOT NULL,
            note text NOT NULL,
            confirmed boolean NOT NULL,
            source varchar(100) NOT NULL,
            source_url text NOT NULL,
            PRIMARY KEY (center_id, kind),
            FOREIGN KEY (center_id, latitude, longitude) REFERENCES recycle_centers (id, latitude, longitude)
                ON UPDATE CASCADE ON DELETE CASCADE
        )
    """)
    op.execute("CREATE INDEX disposal_sites_nearest ON disposal_sites USING gist (kind, position)")
    op.execute("""
        CREATE TABLE region_policies (
            region_code varchar(5) PRIMARY KEY,
            policy jsonb NOT NULL
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE region_policies, disposal_sites, recycle_centers, user_locations")
