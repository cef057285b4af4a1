from __future__ import annotations

import base64

import pytest

from taskfc_ext.ipython import rich

PNG = base64.b64encode(b"\x89PNG and so on").decode()


def output(**data: object) -> dict[str, object]:
    return {"output_type": "display_data", "data": {key.replace("_", "/"): value for key, value in data.items()}}


def test_an_image_is_shown_on_the_card() -> None:
    figure = output(image_png=PNG[:4] + "\n" + PNG[4:], text_plain="<Figure>")
    assert rich.image_of(figure) == rich.Image(f"data:image/png;base64,{PNG}", "<Figure>")
    assert rich.beneath([figure]) == []


def test_an_svg_becomes_an_image_that_runs_nothing() -> None:
    body = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    image = rich.image_of({"data": {"image/svg+xml": body}})
    assert image is not None
    assert image.url == "data:image/svg+xml;base64," + base64.b64encode(body.encode()).decode()


@pytest.mark.parametrize("body", ['"><script>', "", None, 3, ["a"], "A" * (rich.LARGEST_IMAGE + 1)])
def test_what_is_no_image_is_not_put_into_html(body: object) -> None:
    assert rich.image_of({"data": {"image/png": body}}) is None


def test_from_the_first_that_does_not_fit_on_the_card_all_stand_beneath_it() -> None:
    said, figure = {"data": {"text/plain": "said"}}, {"data": {"image/png": PNG}}
    table = {"data": {"text/html": "<table></table>", "text/plain": "a table"}, "metadata": {"isolated": True}}
    outputs = [said, figure, table, figure, said]
    assert rich.on_card(outputs) == [said, figure]
    assert [each["data"] for each in rich.beneath(outputs)] == [each["data"] for each in outputs[2:]]
    assert rich.beneath(outputs)[0]["metadata"] == {"isolated": True}
    assert rich.beneath([said, figure]) == []


def test_the_newest_are_shown() -> None:
    outputs = [{"data": {"text/html": str(i)}} for i in range(rich.MOST + 5)]
    assert [each["data"]["text/html"] for each in rich.shown(outputs)] == [str(i) for i in range(5, rich.MOST + 5)]


def test_the_text_of_an_output_without_one() -> None:
    assert rich.text_of({"data": {"text/html": "<b>"}}) == "[text/html]"
    assert rich.text_of({}) == "[nothing]"
