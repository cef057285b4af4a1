from __future__ import annotations

import base64

from taskfc_ext.ipython.cards import rich

PNG = base64.b64encode(b"\x89PNG and so on").decode()


def output(**data: object) -> dict[str, object]:
    return {"output_type": "display_data", "data": {key.replace("_", "/"): value for key, value in data.items()}}


def test_an_image_stands_beneath_the_card_as_it_came() -> None:
    figure = {**output(image_png=PNG, text_plain="<Figure>"), "metadata": {"image/png": {"width": 3}}}
    assert rich.on_card([figure]) == []
    assert rich.beneath([figure]) == [{"data": figure["data"], "metadata": {"image/png": {"width": 3}}}]


def test_a_text_that_is_too_long_for_a_card_stands_beneath_it() -> None:
    short, long = output(text_plain="x" * rich.LONGEST), output(text_plain="x" * (rich.LONGEST + 1))
    assert rich.on_card([short, long, short]) == [short]
    assert [each["data"] for each in rich.beneath([short, long, short])] == [long["data"], short["data"]]


def test_an_output_without_contents_is_not_shown() -> None:
    said = output(text_plain="said")
    assert rich.select([{"output_type": "execute_result", "data": {}}, said]) == (said,)


def test_from_the_first_that_does_not_fit_on_the_card_all_stand_beneath_it() -> None:
    said, figure = {"data": {"text/plain": "said"}}, {"data": {"image/png": PNG}}
    table = {"data": {"text/html": "<table></table>", "text/plain": "a table"}, "metadata": {"isolated": True}}
    outputs = [said, table, figure, said]
    assert rich.on_card(outputs) == [said]
    assert [each["data"] for each in rich.beneath(outputs)] == [each["data"] for each in outputs[1:]]
    assert rich.beneath(outputs)[0]["metadata"] == {"isolated": True}
    assert rich.beneath([said, said]) == []


def test_the_newest_are_shown() -> None:
    outputs = [{"data": {"text/html": str(i)}} for i in range(rich.MOST + 5)]
    assert [each["data"]["text/html"] for each in rich.select(outputs)] == [str(i) for i in range(5, rich.MOST + 5)]


def test_the_text_of_an_output_without_one() -> None:
    assert rich.text_of({"data": {"text/html": "<b>"}}) == "[text/html]"
    assert rich.text_of({"data": {"text/plain": ""}}) == ""
    assert rich.text_of({}) == "[nothing]"
