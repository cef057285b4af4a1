"""Tests of frames: every message survives the wire, and no frame can do more than raise `ProtocolError`."""

from __future__ import annotations

import struct
import types
import typing

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from taskfc_ext.errors import ProtocolError
from taskfc_ext.protocol import client_messages as said
from taskfc_ext.protocol import codec
from taskfc_ext.protocol import supervisor_messages as supervised
from taskfc_ext.protocol import worker_messages as worked
from taskfc_ext.protocol.codec import FrameDecoder
from taskfc_ext.protocol.limits import MAX_BATCH, MAX_CLIENT_FRAME, MAX_IDS, MAX_MESSAGES, MAX_SHARED_FRAME
from taskfc_ext.protocol.payloads import Failure, PayloadRef, Reason, decode_failure, encode_failure
from taskfc_ext.protocol.records import Record, decode_record, encode_record
from taskfc_ext.protocol.spec import Kind, Recovery, Spec

SPEC = Spec(kind=Kind.CELL, code=b"c" * 16, label="f", retries=3, timeout=1.5, recovery=Recovery(
    Spec(kind=Kind.STRING, code=b"d" * 16, label="g"), b"r"))  # fmt: skip
HELLO = said.Hello(1, "0", "3.11", "a" * 16)
SUBMIT = said.Submit(
    seq=1, spec=SPEC, bodies=(b"x", PayloadRef("ab", 3)), name="fit.2", after=(1, (2, 3)), inputs=((4, 5),)
)
ENDED = said.Ended(
    ids=(1,), reasons=("error",), values=(b"v",), workers=(-1,), attempts=(0,), submitted=(0.5,), completed=1.0,
    seconds=(0.0,), outputs={1: ("text",)}, displays={1: (b"{}",)},
)  # fmt: skip
DOWN = supervised.WorkerDown(worker=1, pid=2, started=3, running=True, note="killed")

DECODERS = {
    "from_client": (codec.from_client, said.ClientMessage),
    "from_controller": (codec.from_controller, said.ControllerMessage),
    "from_worker": (codec.from_worker, worked.WorkerMessage),
    "to_worker": (codec.to_worker, worked.ToWorker),
    "from_supervisor": (codec.from_supervisor, supervised.FromSupervisor),
    "to_supervisor": (codec.to_supervisor, supervised.ToSupervisor),
}
kinds = [(name, kind) for name, (_, union) in DECODERS.items() for kind in typing.get_args(union)]
decoders = st.sampled_from([decoder for decoder, _ in DECODERS.values()])


def examples_of(kind: type) -> st.SearchStrategy:
    """Return messages of `kind` that keep to the limits of its fields."""
    return st.builds(
        kind, **{name: _values(hint) for name, hint in typing.get_type_hints(kind, include_extras=True).items()}
    )


def _values(hint) -> st.SearchStrategy:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _limit(arguments[0], arguments[1])
    if origin in (typing.Union, types.UnionType):
        return st.one_of([_values(argument) for argument in arguments])
    if origin is tuple and len(arguments) == 2 and arguments[1] is ...:
        return st.lists(_values(arguments[0]), max_size=3).map(tuple)
    if origin is typing.Literal:
        return st.sampled_from(list(arguments))
    if origin is tuple:
        return st.tuples(*map(_values, arguments))
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin is dict:
        return st.dictionaries(_values(arguments[0]), _values(arguments[1]), max_size=3)
    if hint is typing.Any:
        return st.none() | st.integers(0, 9) | st.text(max_size=3) | st.lists(st.integers(0, 9), max_size=2)
    simple = {
        bool: st.booleans(),
        int: st.integers(-(2**63), 2**63 - 1),
        float: st.floats(allow_nan=False),
        str: st.text(max_size=5),
        bytes: st.binary(max_size=5),
        type(None): st.none(),
        PayloadRef: st.builds(PayloadRef, st.text("0123456789abcdef", min_size=1, max_size=64), st.integers(0, 2**53)),
        Spec: st.just(SPEC),
    }
    if hint in simple:
        return simple[hint]
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return examples_of(hint)
    return st.sampled_from(hint)


def _limit(hint, limits: msgspec.Meta) -> st.SearchStrategy:
    if limits.pattern:
        return st.from_regex(limits.pattern.replace(r"[\w.-]", "[a-z0-9_.-]"), fullmatch=True).filter(
            lambda text: len(text) <= (limits.max_length or 1000)
        )
    if hint is int:
        return st.integers(limits.ge, min(limits.le or 2**63 - 1, 2**63 - 1))
    if hint is float:
        return st.floats(limits.ge, limits.le)
    if hint is bytes:
        return st.binary(min_size=limits.min_length or 0, max_size=min(limits.max_length, 32))
    values = _values(hint)
    return values.filter(lambda value: len(value) >= limits.min_length) if limits.min_length else values


@pytest.mark.parametrize(("name", "kind"), kinds, ids=[f"{name}-{kind.__name__}" for name, kind in kinds])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_every_message_survives_the_wire(name, kind, data):
    messages = data.draw(st.lists(examples_of(kind), min_size=1, max_size=2))
    assert DECODERS[name][0].decode(codec.encode(messages)) == messages


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from((10, 1_000, 60_000, 65_500, 200_000)), max_size=12), st.integers(0, 3))
def test_small_messages_of_a_client_share_frames_and_large_ones_have_their_own(sizes, n_thousands):
    messages = [said.Define(b"d" * 16, bytes(size)) for size in sizes]
    messages += [said.Ping(seq=1 + i) for i in range(n_thousands * 1000)]
    frames = [*codec.pack(messages)]
    received = [codec.from_client.decode(frame) for frame in frames]
    assert [message for some in received for message in some] == messages
    shared = [frame for frame, some in zip(frames, received, strict=True) if len(some) > 1]
    assert all(len(frame) <= MAX_SHARED_FRAME for frame in shared)
    assert sum(size >= 60_000 for size in sizes) <= len(frames) <= 1 + 2 * len(sizes) + n_thousands
    for frame, some in zip(frames, received, strict=True):
        if len(some) == 1:
            assert codec.from_client.decode_one(frame) == some[0]


def test_a_message_that_is_too_large_for_a_frame_is_refused_with_its_size():
    fits = said.Retry(seq=1, taskid=1, context=said.Define(b"c" * 16, bytes(MAX_CLIENT_FRAME - 200)))
    codec.check_sendable(fits)
    assert codec.from_client.decode(next(codec.pack([fits]))) == [fits]
    too_large = msgspec.structs.replace(fits, context=said.Define(b"c" * 16, bytes(MAX_CLIENT_FRAME)))
    with pytest.raises(
        ProtocolError, match=r"this Retry request takes 20,971,6\d\d bytes, over the limit of 20,971,520"
    ):
        codec.check_sendable(too_large)


@pytest.mark.parametrize("kind", typing.get_args(Record), ids=lambda kind: kind.__name__)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_every_record_survives_the_store(kind, data):
    record = data.draw(examples_of(kind))
    assert decode_record(encode_record(record)) == record


@given(st.builds(Failure, reason=st.sampled_from(Reason), message=st.text(), pickled=st.none() | st.binary()))
@settings(deadline=None)
def test_every_failure_is_readable(failure):
    assert decode_failure(encode_failure(failure)) == failure


def check_refused_or_read(decoder, frame: bytes) -> None:
    try:
        messages = decoder.decode(frame)
    except ProtocolError:
        return
    assert isinstance(messages, list)


@given(decoders, st.binary(max_size=300))
@settings(max_examples=400, deadline=None)
def test_junk_is_refused_and_nothing_else_happens(decoder, frame):
    check_refused_or_read(decoder, frame)


simple = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=9)
    | st.binary(max_size=9)
)
anything = st.recursive(
    simple, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
)
fields = sorted({name for _, kind in kinds for name in kind.__struct_fields__})
shaped = st.builds(
    lambda tag, more: {"type": tag, **more},
    st.sampled_from([kind.__name__ for _, kind in kinds]),
    st.dictionaries(st.sampled_from(fields), anything, max_size=6),
)


@given(decoders, st.lists(shaped | anything, max_size=3))
@settings(max_examples=400, deadline=None)
def test_well_formed_nonsense_is_refused_and_nothing_else_happens(decoder, messages):
    check_refused_or_read(decoder, msgspec.msgpack.encode(messages))


@pytest.mark.parametrize("message", [HELLO, SUBMIT, ENDED, DOWN], ids=lambda message: type(message).__name__)
def test_a_truncated_frame_is_refused(message):
    frame = codec.encode([message])
    for end in range(len(frame)):
        for decoder, _ in DECODERS.values():
            with pytest.raises(ProtocolError):
                decoder.decode(frame[:end])


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_frame_with_wrong_bytes_in_it_is_read_or_refused(data):
    frame = bytearray(codec.encode([HELLO, SUBMIT]))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    check_refused_or_read(codec.from_client, bytes(frame))


@pytest.mark.parametrize("opening", [b"\x91", b"\x81\xa1x", b"\xdd\x00\x00\x00\x01"])
@pytest.mark.parametrize("depth", [100, 10_000, 1_000_000])
def test_depth_bombs_are_refused(opening, depth):
    for decoder, _ in DECODERS.values():
        with pytest.raises(ProtocolError):
            decoder.decode(b"\x91" + opening * depth)


def test_depth_bombs_within_a_message_are_refused():
    inner: dict = {"kind": "cell", "code": b"c" * 16, "label": "f"}
    for _ in range(400):
        inner = {"kind": "cell", "code": b"c" * 16, "label": "f", "recovery": {"spec": inner, "body": b""}}
    frame = msgspec.msgpack.encode([{"type": "Submit", "seq": 1, "bodies": [b"x"], "spec": inner}])
    check_refused_or_read(codec.from_client, frame)
    bomb = {"type": "Reply", "seq": 1, "value": None}
    packed = msgspec.msgpack.encode([bomb])[:-1] + b"\x91" * 100_000
    with pytest.raises(ProtocolError):
        codec.from_controller.decode(packed)


HUGE = b"\xdd\xff\xff\xff\xff"


@pytest.mark.parametrize(
    ("tag", "field", "value"),
    [
        ("Submit", "bodies", HUGE),
        ("Submit", "after", HUGE),
        ("ListTasks", "states", HUGE),
        ("ListTasks", "taskids", HUGE),
        ("Define", "body", b"\xc6\xff\xff\xff\xff"),
        ("Hello", "label", b"\xdb\xff\xff\xff\xff"),
        ("Finished", "outputs", b"\xdf\xff\xff\xff\xff"),
        ("Ready", "leases", HUGE),
    ],
)
def test_a_count_that_promises_the_world_costs_nothing(tag, field, value):
    encode = msgspec.msgpack.encode
    body = b"\xde" + struct.pack(">H", 2) + encode("type") + encode(tag) + encode(field) + value
    for decoder in (codec.from_client, codec.from_worker):
        with pytest.raises(ProtocolError):
            decoder.decode(b"\x91" + body)


@pytest.mark.parametrize(
    ("messages", "fits"),
    [
        ([said.Ping(seq=1)] * MAX_MESSAGES, True),
        ([said.Ping(seq=1)] * (MAX_MESSAGES + 1), False),
        ([said.Submit(seq=1, spec=SPEC, bodies=(b"",) * MAX_BATCH)], True),
        ([said.Submit(seq=1, spec=SPEC, bodies=(b"",) * (MAX_BATCH + 1))], False),
        ([said.Submit(seq=1, spec=SPEC, bodies=())], False),
        ([said.GetResults(seq=1, taskids=(0,) * MAX_IDS)], True),
        ([said.GetResults(seq=1, taskids=(0,) * (MAX_IDS + 1))], False),
        ([said.Ping(seq=0)], False),
        ([said.Abort(seq=1, taskid=-5)], True),
        ([said.Abort(seq=1, taskid=2**60)], False),
        ([said.Scale(seq=1, n=10_001)], False),
        ([said.Define(b"short", b"")], False),
        ([said.Hello(1, "0", "3.11", "not a session")], False),
        ([said.Hello(1, "0", "3.11", "a" * 16 + "\n")], False),
        ([said.Hello(1, "0" * 201, "3.11", "a" * 16)], False),
        ([said.Submit(seq=1, spec=SPEC, bodies=(b"",), name="../etc")], False),
        ([said.Submit(seq=1, spec=SPEC, bodies=(PayloadRef("../etc", 1),))], False),
        ([ENDED], False),
    ],
)
def test_limits_are_kept_at_the_edge(messages, fits):
    frame = codec.encode(messages)
    if fits:
        assert codec.from_client.decode(frame) == messages
    else:
        with pytest.raises(ProtocolError):
            codec.from_client.decode(frame)


def test_a_hello_of_a_later_version_is_decoded_so_that_it_can_be_answered():
    later = {"type": "Hello", "protocol": 99, "version": "9", "python": "3.99", "session": "a" * 16, "colour": "blue"}
    assert codec.from_client.decode(msgspec.msgpack.encode([later])) == [said.Hello(99, "9", "3.99", "a" * 16)]


def test_a_frame_over_the_limit_is_refused_before_it_is_read():
    decoder = FrameDecoder(said.ClientMessage, limit=100)
    with pytest.raises(ProtocolError, match="a frame of 101 bytes is over the limit of 100"):
        decoder.decode(b"x" * 101)
    with pytest.raises(ProtocolError, match="not understood"):
        decoder.decode(b"x" * 100)


def test_the_refusal_says_where_the_error_is():
    with pytest.raises(ProtocolError, match=r"\$\[1\]\.taskid"):
        codec.from_client.decode(msgspec.msgpack.encode([said.Ping(seq=1), {"type": "Abort", "seq": 2, "taskid": "x"}]))


def test_unknown_fields_and_messages_are_refused():
    for message in ({"type": "Ping", "seq": 1, "more": 1}, {"type": "Nothing"}, {"seq": 1}):
        with pytest.raises(ProtocolError):
            codec.from_client.decode(msgspec.msgpack.encode([message]))
