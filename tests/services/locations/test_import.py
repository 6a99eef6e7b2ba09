"""The importer on files with the mess that public data sets have, made here; and on the real ones where they are."""

import json
import os
import subprocess
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from eco2.locations.v1 import locations_pb2 as pb

from services.locations import cleaning, reading
from services.locations.import_centers import Import, Report, lines, save
from stack.home import CHECKOUT
from tests.conftest import as_user

SHARED = CHECKOUT.parent / "shared/data/locations"
NOW = datetime(2026, 11, 18, tzinfo=UTC)

HEADER = "설치장소명,소재지도로명주소,위도,경도,관리기관전화번호"
GOOD = "주민센터,서울특별시 마포구 월드컵로 212,37.5663,126.9017,02-3153-8114"


@pytest.fixture
def run(tmp_path, database):
    """Imports files given as name=bytes, in one run; gives the reports and the names that are in the database."""
    db = database("locations")

    def start(kind="", **files: bytes | str) -> tuple[list[Report], list[str]]:
        importer, reports = Import(kind), []
        for name, content in files.items():
            path = tmp_path / name.replace("_dot_", ".")
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            report, centers = importer.read(path)
            save(db, report, centers, NOW)
            reports.append(report)
        with db.reading() as connection:
            return reports, list(
                connection.execute(sa.text("SELECT name FROM recycle_centers ORDER BY name")).scalars()
            )

    start.database = db
    return start


def one(run, content: bytes | str, name: str = "폐의약품_dot_csv") -> Report:
    return run(**{name: content})[0][0]


def collected(run) -> dict[str, list[str]]:
    with run.database.reading() as connection:
        rows = connection.execute(
            sa.text(
                "SELECT name, array_agg(kind ORDER BY kind) AS kinds FROM recycle_centers"
                " JOIN disposal_sites ON center_id = id GROUP BY name"
            )
        )
        return {row.name: row.kinds for row in rows}


def reasons(report: Report) -> list[tuple[int, str]]:
    return [(number, reason) for number, reason, _ in report.refused]


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (f"{HEADER}\n{GOOD}\n".encode(), "utf-8"),
        (f"{HEADER}\r\n{GOOD}\r\n".encode("utf-8-sig"), "utf-8"),
        (f"{HEADER}\n{GOOD}\n".encode("cp949"), "cp949"),
        (f"{HEADER}\n{GOOD}\n".encode("utf-16"), "utf-16-le"),
        (f"{HEADER}\n".encode() + GOOD.encode("cp949"), "cp949+utf-8"),
        # A syllable of CP949 that is also valid UTF-8, of other letters.
        (f"{HEADER}\n척,서울,37.5663,126.9017,".encode("cp949"), "cp949"),
    ],
)
def test_a_file_is_read_in_whatever_encoding_it_is_in(run, content, encoding):
    (report,), names = run(폐의약품_dot_csv=content)
    assert (report.error, report.refused, report.accepted, report.encoding) == ("", [], 1, encoding)
    assert names in (["주민센터"], ["척"])


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("시설명\t주소\tlat\tlng\t연락처", "주민센터\t서울특별시 마포구 월드컵로 212\t37.5663\t126.9017\t02-1"),
        ("번호; 설치 장소명 ;소재지(지번)주소;위도(WGS84);경도(WGS84)", "1;주민센터;서울 마포구;37.5663;126.9017"),
        ("INSTL_PLC_NM,LCTN_ROAD_NM_ADDR,LAT,LOT", "주민센터,서울,37.5663,126.9017"),
        ("폐의약품 수거함 현황\n(2026년 5월 기준),,,\n\n상호명,도로명주소,위도,경도", "주민센터,서울,37.5663,126.9017"),
        ("위도,경도,장소명,주소", "37.5663,126.9017,주민센터,서울"),
        ("장소명,주소,좌표", '주민센터,서울,"126.9017, 37.5663"'),
        ("장소명,주소,위도,경도", '주민센터,"서울\n마포구 ""월드컵로""",37.5663,126.9017'),
    ],
)
def test_columns_go_by_many_names(run, header, row):
    (report,), names = run(폐의약품_dot_csv=f"{header}\n{row}\n")
    assert (report.error, report.refused, names) == ("", [], ["주민센터"])


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [
        ("37.5663", "126.9017"),
        ("126.9017", "37.5663"),
        (" 37.5663° ", "126.9017E"),
        ("37도 33분 58.68초", "126도 54분 6.12초"),
        ("37°33'58.68\"N", "126°54'6.12\"E"),
        ("３７.５６６３", "１２６.９０１７"),
        ('"37,5663"', '"126,9017"'),
        ("북위 37.5663", "동경 126.9017"),
        ('"37.5663, 126.9017"', ""),
        ("'37.5663'", "126.9017"),
    ],
)
def test_coordinates_are_read_as_people_write_them(run, latitude, longitude):
    report = one(run, f"{HEADER}\n주민센터,서울,{latitude},{longitude},\n")
    assert report.refused == []
    with run.database.reading() as connection:
        row = connection.execute(sa.text("SELECT latitude, longitude, region_code FROM recycle_centers")).one()
    assert (float(row.latitude), float(row.longitude)) == pytest.approx((37.5663, 126.9017), abs=1e-6)
    assert row.region_code == "11440"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",서울,37.5,127.0,", "NO_NAME"),
        (f"{'가' * 201},서울,37.5,127.0,", "NAME_TOO_LONG"),
        ("상설판매장(운영중단),서울,37.5,127.0,", "CLOSED_DOWN"),
        ("곳,서울,,,", "NO_COORDINATES"),
        ("곳,서울,0,0,", "NO_COORDINATES"),
        ("곳,서울,-,없음,", "NO_COORDINATES"),
        ("곳,서울,37.5,,", "COORDINATES_UNREADABLE"),
        ("곳,서울,확인 중,127.0,", "COORDINATES_UNREADABLE"),
        ("곳,서울,1.2.3,127.0,", "COORDINATES_UNREADABLE"),
        ("곳,도쿄,35.68,139.69,", "OUTSIDE_KOREA"),
        ("곳,후쿠오카,33.59,130.40,", "OUTSIDE_KOREA"),
        ("곳,바다,36.0,125.0,", "OUTSIDE_KOREA"),
        ("곳,서울,451234.5,198765.4,", "NOT_DEGREES"),
        ("곳,서울,37.5,127.0,02-1,더,많이", "NOT_A_ROW"),
        (f"{GOOD}", "DUPLICATE"),
        ("주민 센터,서울특별시 마포구 월드컵로212 (성산동),37.5,126.9,", "DUPLICATE"),
        ("주민센터,서울 마포구 성산동 370,37.5663,126.9017,", "DUPLICATE"),
    ],
)
def test_a_bad_row_is_refused_with_its_reason_and_the_rest_comes_in(run, row, reason):
    (report,), names = run(폐의약품_dot_csv=f"{HEADER}\n{GOOD}\n{row}\n다른 곳,부산,35.1796,129.0756,\n")
    assert (report.rows, report.accepted, report.new) == (3, 2, 2)
    assert reasons(report) == [(3, reason)]
    assert names == ["다른 곳", "주민센터"]
    assert f"row 3 {report.refused[0][2]} [{reason}]" in "\n".join(lines(report))


def test_bytes_in_no_encoding_refuse_their_row_only(run):
    content = f"{HEADER}\n{GOOD}\n".encode() + b"\xff\xfe\xff,x,37.5,127.0,\n" + "끝,서울,37.6,127.0,\n".encode()
    report = one(run, content)
    assert (report.accepted, reasons(report)) == (2, [(3, "UNREADABLE_TEXT")])


@pytest.mark.parametrize(
    "content",
    [
        {"records": [{"설치장소명": "주민센터", "위도": "37.5663", "경도": "126.9017"}], "fields": [{"id": "위도"}]},
        {
            "response": {
                "header": {"resultCode": "00"},
                "body": {"items": [{"name": "주민센터", "lat": 37.5663, "lot": 126.9017}]},
            }
        },
        {"data": {"11440": {"name": "마포구", "bins": [{"place": "주민센터", "lat": "37.5663", "lot": "126.9017"}]}}},
        [{"name": "주민센터", "coordinates": [126.9017, 37.5663]}],
        {
            "type": "FeatureCollection",
            "features": [
                {
                    "type": "Feature",
                    "geometry": {
                        "type": "GeometryCollection",
                        "geometries": [{"type": "Point", "coordinates": [126.9017, 37.5663]}],
                    },
                    "properties": {"CONTENTS_NAME": "주민센터", "NAME_03": "운영시간", "VALUE_03": "매일 10:00~20:00"},
                }
            ],
        },
    ],
)
def test_json_is_read_in_whatever_shape(run, content):
    for text in (json.dumps(content, ensure_ascii=False), json.dumps(content, ensure_ascii=False).encode("cp949")):
        (report,), names = run(폐의약품_dot_json=text)
        # The list of fields in the first is none of places: it is refused, not lost.
        assert report.accepted == 1
        assert reasons(report) in ([], [(2, "NO_NAME")])
        assert names == ["주민센터"]


def test_json_lines_are_read_and_bad_ones_refused(run):
    good = json.dumps({"name": "주민센터", "lat": 37.5663, "lon": 126.9017})
    report = one(run, f"{good}\n{{broken\n7\n", "폐의약품_dot_jsonl")
    assert (report.format, report.accepted) == ("JSON lines", 1)
    assert reasons(report) == [(2, "NOT_A_ROW"), (3, "NOT_A_ROW")]


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04zip", b"<html></html>", b"{broken", b"[1, 2", b"a,b\n1,2\n", b"\0\0"]
)
def test_what_is_no_table_is_said_to_be_none(run, content):
    report = one(run, content)
    assert report.error
    assert (report.rows, report.accepted) == (0, 0)
    assert next(lines(report)).startswith("폐의약품.csv: not read: ")


@pytest.mark.parametrize(
    ("name", "items", "kinds"),
    [
        ("폐의약품수거함", "", ["MEDICINE"]),
        ("폐형광등폐건전지수거함", "폐건전지", ["BATTERY"]),
        ("폐형광등폐건전지수거함", "형광램프+폐건전지", ["BATTERY", "LAMP"]),
        ("lamp_battery_bins", "", ["BATTERY", "LAMP"]),
        ("recycle_centers", "폐건전지 폐형광등 소형가전 의류", ["RECYCLING_CENTER"]),
        ("전국의류수거함표준데이터", "", ["CLOTHING"]),
        ("unnamed", "우유팩", ["PAPER_PACK"]),
    ],
)
def test_what_is_collected_is_found_out(run, name, items, kinds):
    report = one(run, f"장소명,주소,위도,경도,수거품목\n곳,서울,37.5663,126.9017,{items}\n", f"{name}_dot_csv")
    assert report.refused == []
    assert collected(run) == {"곳": kinds}


def test_what_nobody_says_is_asked_for(run):
    content = "장소명,주소,위도,경도\n곳,서울,37.5663,126.9017\n"
    assert reasons(one(run, content, "unnamed_dot_csv")) == [(2, "KIND_UNKNOWN")]
    run(kind="CLOTHING", unnamed_dot_csv=content)
    assert collected(run) == {"곳": ["CLOTHING"]}


def test_two_data_sets_add_up_at_one_place_and_importing_again_changes_nothing(run):
    files = {
        "폐의약품_dot_csv": f"{HEADER}\n{GOOD}\n",
        "건전지_dot_csv": f"{HEADER}\n{GOOD.replace('3153-8114', '120')}\n{GOOD}\n",
    }
    first, names = run(**files)
    assert [(report.accepted, report.new, report.changed) for report in first] == [(1, 1, 0), (1, 0, 1)]
    assert reasons(first[1]) == [(3, "DUPLICATE")]
    assert (names, collected(run)) == (["주민센터"], {"주민센터": ["BATTERY", "MEDICINE"]})
    with run.database.reading() as connection:
        before = connection.execute(sa.text("SELECT phone, xmin FROM recycle_centers")).all()
    second, _ = run(**files)
    assert [(report.accepted, report.new, report.changed) for report in second] == [(1, 0, 0), (1, 0, 0)]
    with run.database.reading() as connection:
        assert connection.execute(sa.text("SELECT phone, xmin FROM recycle_centers")).all() == before
    assert before[0].phone == "02-3153-8114"


def test_a_new_edition_changes_what_differs(run):
    run(폐의약품_dot_csv=f"{HEADER}\n{GOOD}\n")
    (report,), _ = run(폐의약품_dot_csv=f"{HEADER}\n{GOOD.replace('3153-8114', '120')}\n")
    assert (report.new, report.changed) == (0, 1)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("02-3153-8114", "02-3153-8114"),
        ("02)3153-8114", "02-3153-8114"),
        ("(02) 3153 8114, 02-120", "02-3153-8114"),
        ("0507-1361-5372", "0507-1361-5372"),
        ("1588-0000~1", "1588-0000"),
        ("없음", ""),
        ("-", ""),
    ],
)
def test_a_phone_number_is_the_first_that_fits(written, kept):
    cells = {"장소명": "곳", "위도": 37.5663, "경도": 126.9017, "전화번호": written}
    assert cleaning.center(cells, "폐의약품", "", "s", "").phone == kept


def test_hours_come_from_columns_or_from_words():
    cells = {"시설명": "곳", "위도": 37.5663, "경도": 126.9017, "재활용센터명": "곳"}
    columns = {"평일운영시작시각": "09:00", "평일운영종료시각": "18:00", "휴무일": "일요일+공휴일"}
    made = cleaning.center(cells | columns, "", "", "s", "").hours
    assert made["days"]["mon"] == [["09:00", "18:00"]]
    assert (made["days"]["sun"], made["days"]["holiday"], "sat" in made["days"]) == ([], [], False)
    words = cleaning.center(cells | {"운영시간": "월~금 10:00~19:00 예약제"}, "", "", "s", "").hours
    assert words == {"days": {}, "note": "월~금 10:00~19:00 예약제"}
    form = cleaning.center(cells | {"운영시간": "운영시간을 작성하세요\n※ 입력시 삭제"}, "", "", "s", "").hours
    assert form == {"days": {}, "note": ""}


def test_deep_json_does_no_harm():
    with pytest.raises(reading.Unreadable):
        reading.read(b"[" * 100_000)


def test_the_command_reports_and_says_by_its_exit_whether_all_was_read(run, postgres, database_name, tmp_path):
    good, bad = tmp_path / "폐의약품.csv", tmp_path / "bad.csv"
    good.write_text(f"{HEADER}\n{GOOD}\n곳,도쿄,35.68,139.69,\n")
    bad.write_text("")
    env = {"PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'proto/gen'}", "PATH": os.environ["PATH"]}
    env["API_LOCATIONS_DB_URL"] = postgres.url(database_name, "locations")

    def command(*arguments: object) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "services.locations.import_centers", *map(str, arguments)]
        return subprocess.run(argv, env=env, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)

    dry = command("--dry-run", "--json", good)
    assert (dry.returncode, json.loads(dry.stdout)[0]["accepted"], run()[1]) == (0, 1, [])
    done = command(good)
    assert (done.returncode, run()[1]) == (0, ["주민센터"])
    assert "폐의약품.csv: CSV in utf-8, 2 rows: 1 accepted (1 new places, 0 changed), 1 refused" in done.stdout
    assert "row 3 lies at 35.68, 139.69, which is not in South Korea [OUTSIDE_KOREA]" in done.stdout
    both = command("--json", good, bad, tmp_path / "absent.csv")
    assert both.returncode == 1
    assert [(each["new"], bool(each["error"])) for each in json.loads(both.stdout)] == [
        (0, False),
        (0, True),
        (0, True),
    ]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real data sets are not beside this checkout")
def test_the_real_data_sets_come_in_whole_and_the_second_time_change_nothing(house):
    def everything() -> list[Report]:
        importer, reports = Import(), []
        for path in sorted(SHARED.iterdir()):
            report, centers = importer.read(path)
            save(house.database, report, centers, house.now)
            print("\n".join(lines(report)))
            reports.append(report)
        return reports

    first, second = everything(), everything()
    assert not [report.error for report in first if report.error]
    assert sum(report.rows for report in first) == 7727
    assert {reason for report in first for _, reason, _ in report.refused} <= {"DUPLICATE", "CLOSED_DOWN"}
    for report in first:
        assert report.rows == report.accepted + len(report.refused)
        assert report.accepted > 0.95 * report.rows
    assert [(report.new, report.changed) for report in second] == [(0, 0)] * len(second)
    request = pb.ListNearestCentersRequest(latitude=37.5663, longitude=126.9779, kind=pb.CENTER_KIND_ZERO_WASTE_SHOP)
    found = house.public.ListNearestCenters(request, metadata=as_user(uuid.uuid4())).centers
    assert len(found) == 20
    assert found[0].distance_m < 1000


def test_every_row_of_a_file_is_counted_once(tmp_path: Path):
    path = tmp_path / "폐의약품.csv"
    path.write_text("\n".join([HEADER, GOOD, "", ",,,,", "곳,,,,", HEADER, GOOD]))
    report, centers = Import().read(path)
    assert (report.rows, report.accepted, len(centers)) == (3, 1, 1)
    assert reasons(report) == [(5, "NO_COORDINATES"), (7, "DUPLICATE")]
