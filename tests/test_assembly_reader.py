"""The reader of assembly that tests of kernels stand on: loops, kinds, the stack, two dialects."""

from support.assembly import functions_of

LLVM = """
	.section	__TEXT,__text
_twice:
	stp	x29, x30, [sp, #-16]!
LBB0_1:                                 ; =>This Loop Header: Depth=1
	mov	x9, x1
	b	LBB0_3
LBB0_2:                                 ; the inner loop, its test first
	ldp	q0, q1, [x8], #32
	sdot.4s	v2, v0, v1[2]
	fcvt	s3, h3
	str	q2, [sp, #32]                   ; a spill
	bl	_other
LBB0_3:
	subs	x9, x9, #1
	b.ne	LBB0_2
	ldaddal	x1, x2, [x3]
	cbnz	x0, LBB0_1
	ret
"""

OBJDUMP = """
0000000000000000 <product>:
   0:	d2800009 	mov	x9, #0x0                   	// #0
   4:	4e9f9400 	sdot	v0.4s, v0.16b, v31.16b
   8:	3dc00001 	ldr	q1, [x0]
   c:	f1000529 	subs	x9, x9, #0x1
  10:	54ffffa1 	b.ne	4 <product+0x4>  // b.any
  14:	d65f03c0 	ret
"""


def test_loops_are_found_inside_each_other():
    outer, inner = functions_of(LLVM)["twice"].loops
    assert not outer.is_innermost
    assert inner.is_innermost
    assert set(inner.places) < set(outer.places)
    assert [i.name for i in inner.body] == "ldp sdot fcvt str bl subs b.ne".split()
    assert outer.body[0].name == "mov"
    assert outer.body[-1].name == "cbnz"


def test_instructions_are_of_a_kind():
    inner = functions_of(LLVM)["twice"].loops[1]
    assert inner.kinds == {
        "load": 1,
        "dot": 1,
        "vector": 1,
        "store": 1,
        "call": 1,
        "scalar": 1,
        "branch": 1,
    }
    assert (inner.n_dots, inner.vector_loads) == (1, 1)
    assert [i.name for i in inner.on_stack] == ["str"]
    assert [i.operands for i in inner.calls] == ["_other"]


def test_atomic_additions_are_neither_loads_nor_stores():
    outer = functions_of(LLVM)["twice"].loops[0]
    assert next(i for i in outer.body if i.name == "ldaddal").kind == "scalar"


def test_objdump_reads_the_same():
    (loop,) = functions_of(OBJDUMP)["product"].loops
    assert [i.name for i in loop.body] == "sdot ldr subs b.ne".split()
    assert loop.kinds == {"dot": 1, "load": 1, "scalar": 1, "branch": 1}
    assert not loop.on_stack
