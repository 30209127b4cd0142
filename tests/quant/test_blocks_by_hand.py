"""Blocks packed here weight by weight from the formulas, without the gguf package.

The numbers differ from place to place and from group to group, so that a wrong nibble order or the
scale of a neighbouring group cannot pass.
"""

import numpy as np

from localmix.quant import dequantize


def half(x: float) -> bytes:
    return np.float16(x).tobytes()


def decode(block: bytes, name: str) -> list[float]:
    return dequantize(np.frombuffer(block, np.uint8), name).tolist()


def test_q4_0_puts_the_first_half_in_the_low_nibbles():
    q = [(3 * j + 1) % 16 for j in range(16)] + [(5 * j + 2) % 16 for j in range(16)]
    block = half(0.5) + bytes(q[j] | q[j + 16] << 4 for j in range(16))
    assert decode(block, "Q4_0") == [0.5 * (x - 8) for x in q]


def test_q4_1_adds_the_minimum():
    q = [(3 * j + 1) % 16 for j in range(16)] + [(5 * j + 2) % 16 for j in range(16)]
    block = half(0.25) + half(-3) + bytes(q[j] | q[j + 16] << 4 for j in range(16))
    assert decode(block, "Q4_1") == [0.25 * x - 3 for x in q]


def test_q5_0_and_q5_1_take_their_fifth_bits_in_order():
    q = [(7 * j + 3) % 32 for j in range(32)]
    high = sum((q[j] >> 4) << j for j in range(32)).to_bytes(4, "little")
    low = bytes(q[j] & 15 | (q[j + 16] & 15) << 4 for j in range(16))
    assert decode(half(2) + high + low, "Q5_0") == [2.0 * (x - 16) for x in q]
    assert decode(half(2) + half(1) + high + low, "Q5_1") == [2.0 * x + 1 for x in q]


def test_q8_0_is_signed():
    q = [-128, 127, -1, 0] + [5 * j - 70 for j in range(28)]
    block = half(-0.125) + b"".join(x.to_bytes(1, "little", signed=True) for x in q)
    assert decode(block, "Q8_0") == [-0.125 * x for x in q]


def test_q2_k_takes_its_groups_along_the_bit_pairs():
    q = [(i + i // 7) % 4 for i in range(256)]
    scale, minimum = list(range(16)), [15 - g for g in range(16)]
    qs = bytes(
        sum(q[128 * h + 32 * j + b] << 2 * j for j in range(4)) for h in range(2) for b in range(32)
    )
    scales = bytes(s | m << 4 for s, m in zip(scale, minimum, strict=True))
    block = scales + qs + half(0.5) + half(0.25)
    expected = [0.5 * scale[i // 16] * q[i] - 0.25 * minimum[i // 16] for i in range(256)]
    assert decode(block, "Q2_K") == expected


def test_q3_k_clears_its_third_bit_to_subtract_four():
    q = [(i + i // 5) % 8 for i in range(256)]
    scale = [(11 * g + 5) % 64 for g in range(16)]
    hmask = bytes(sum((q[32 * j + b] >> 2) << j for j in range(8)) for b in range(32))
    qs = bytes(
        sum((q[128 * h + 32 * j + b] & 3) << 2 * j for j in range(4))
        for h in range(2)
        for b in range(32)
    )
    low = bytes(scale[i] & 15 | (scale[i + 8] & 15) << 4 for i in range(8))
    high = bytes(sum((scale[4 * k + i] >> 4) << 2 * k for k in range(4)) for i in range(4))
    block = hmask + qs + low + high + half(0.5)
    expected = [0.5 * (scale[i // 16] - 32) * (q[i] - 4) for i in range(256)]
    assert decode(block, "Q3_K") == expected


def pack_scales(scale: list[int], minimum: list[int]) -> bytes:
    """Pack 8 scales and 8 minima of 6 bits as Q4_K and Q5_K do."""
    first = [scale[i] | (scale[i + 4] >> 4) << 6 for i in range(4)]
    second = [minimum[i] | (minimum[i + 4] >> 4) << 6 for i in range(4)]
    third = [scale[i + 4] & 15 | (minimum[i + 4] & 15) << 4 for i in range(4)]
    return bytes(first + second + third)


SCALE = [1, 22, 43, 63, 17, 38, 59, 34]
MINIMUM = [60, 9, 30, 51, 48, 7, 28, 49]


def test_q4_k_alternates_low_and_high_nibbles_every_32_weights():
    q = [(i + i // 9) % 16 for i in range(256)]
    qs = bytes(q[64 * c + b] | q[64 * c + 32 + b] << 4 for c in range(4) for b in range(32))
    block = half(0.5) + half(0.25) + pack_scales(SCALE, MINIMUM) + qs
    expected = [0.5 * SCALE[i // 32] * q[i] - 0.25 * MINIMUM[i // 32] for i in range(256)]
    assert decode(block, "Q4_K") == expected


def test_q5_k_takes_one_bit_plane_per_32_weights():
    q = [(i + i // 9) % 32 for i in range(256)]
    qh = bytes(sum((q[32 * j + b] >> 4) << j for j in range(8)) for b in range(32))
    qs = bytes(
        q[64 * c + b] & 15 | (q[64 * c + 32 + b] & 15) << 4 for c in range(4) for b in range(32)
    )
    block = half(0.5) + half(0.25) + pack_scales(SCALE, MINIMUM) + qh + qs
    expected = [0.5 * SCALE[i // 32] * q[i] - 0.25 * MINIMUM[i // 32] for i in range(256)]
    assert decode(block, "Q5_K") == expected


def test_q6_k_joins_four_low_and_two_high_bits():
    q = [(i + i // 13) % 64 for i in range(256)]
    scale = [9 * g - 64 for g in range(16)]
    ql, qh = bytearray(128), bytearray(64)
    for h in range(2):
        for b in range(32):
            q1, q2, q3, q4 = (q[128 * h + 32 * j + b] for j in range(4))
            ql[64 * h + b] = q1 & 15 | (q3 & 15) << 4
            ql[64 * h + b + 32] = q2 & 15 | (q4 & 15) << 4
            qh[32 * h + b] = q1 >> 4 | q2 >> 4 << 2 | q3 >> 4 << 4 | q4 >> 4 << 6
    block = bytes(ql + qh) + np.array(scale, np.int8).tobytes() + half(0.5)
    assert decode(block, "Q6_K") == [0.5 * scale[i // 16] * (q[i] - 32) for i in range(256)]


IQ4 = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]


def test_iq4_nl_looks_its_values_up():
    q = [(3 * j + 1) % 16 for j in range(16)] + [(5 * j + 2) % 16 for j in range(16)]
    block = half(0.5) + bytes(q[j] | q[j + 16] << 4 for j in range(16))
    assert decode(block, "IQ4_NL") == [0.5 * IQ4[x] for x in q]


def test_iq4_xs_joins_its_scales_from_two_places():
    q = [(i + i // 9) % 16 for i in range(256)]
    scale = [0, 63, 21, 42, 17, 38, 59, 4]
    high = sum((scale[g] >> 4) << 2 * g for g in range(8)).to_bytes(2, "little")
    low = bytes(scale[2 * i] & 15 | (scale[2 * i + 1] & 15) << 4 for i in range(4))
    qs = bytes(q[32 * g + j] | q[32 * g + j + 16] << 4 for g in range(8) for j in range(16))
    block = half(0.5) + high + low + qs
    assert decode(block, "IQ4_XS") == [0.5 * (scale[i // 32] - 32) * IQ4[q[i]] for i in range(256)]


def test_mxfp4_of_scale_one_holds_the_numbers_of_e2m1():
    q = list(range(16)) + list(reversed(range(16)))
    block = bytes([127]) + bytes(q[j] | q[j + 16] << 4 for j in range(16))
    e2m1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
    values = e2m1 + [-x for x in e2m1]
    assert decode(block, "MXFP4") == values + values[::-1]


def test_floats_are_little_endian():
    assert decode(b"\x00\x00\x20\xc0", "F32") == [-2.5]
    assert decode(b"\x00\xc1", "F16") == [-2.5]
    assert decode(b"\x20\xc0", "BF16") == [-2.5]
