"""A pickle, read as data: what PyTorch writes about its tensors, without running anything that stands in it.

A pickle is a program for a small stack machine.  `Machine` runs the instructions that make plain data.  Where the
program names a Python class or function, the machine looks it up in a fixed table: tensors, parameters and ordered
dictionaries are known there.  Everything else becomes an `Unknown`, which holds a name and does nothing.

Source: the documentation of Python's `pickletools`.
"""

import pickletools
import zipfile
from dataclasses import dataclass
from math import prod

import numpy as np

MARK = object()  # where the arguments of an instruction begin on the stack
KEYS = (str, int, float, bytes, type(None))  # what may be a key of a dictionary; tuples could take forever to hash

# A tensor takes some fifty instructions: enough for a model of 100,000, and ten seconds for a file that was made to
# take forever.
LONGEST = 5_000_000

# What a damaged file makes the code below stumble over.
DAMAGE = (ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, TypeError, zipfile.BadZipFile)

# Kind of number -> NumPy's name of its bytes.  bfloat16 is the upper half of a float32.
KINDS = {
    "float64": "f8",
    "float32": "f4",
    "float16": "f2",
    "bfloat16": "u2",
    "int64": "i8",
    "int32": "i4",
    "int16": "i2",
    "int8": "i1",
    "uint8": "u1",
    "bool": "?",
    "complex64": "c8",
    "complex128": "c16",
}
STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "uint8",
}


@dataclass(frozen=True)
class Unknown:
    """A class, a function or an object of the file that this reader does not make."""

    name: str


@dataclass(frozen=True, eq=False)
class Storage:
    """A row of `size` numbers in the file; a view begins at `offset` of it."""

    file: object  # has a method `raw(key)` that gives the bytes of a storage, and an attribute `order`, "<" or ">"
    key: str
    kind: str
    size: int
    offset: int = 0


@dataclass(frozen=True, eq=False)
class Tensor:
    """Where the numbers of a tensor are: in `storage` from `offset` on, `strides` numbers apart along each axis."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    kind: str

    def array(self):
        """The numbers as a NumPy array, bfloat16 as float32.

        Raises:
            ValueError: the file does not hold them all, or they are of a kind that NumPy does not have, such as float8.
        """
        if self.kind not in KINDS:
            raise ValueError(f"it holds {self.kind} numbers; save it as float32")
        dtype = np.dtype(self.storage.file.order + KINDS[self.kind])
        try:
            numbers = np.frombuffer(self.storage.file.raw(self.storage.key), dtype)
        except DAMAGE as error:
            raise ValueError("a record of its archive is damaged") from error
        start = self.offset + self.storage.offset
        last = start + sum((side - 1) * stride for side, stride in zip(self.shape, self.strides))
        if prod(self.shape) > len(numbers) or (prod(self.shape) and last >= len(numbers)):
            raise ValueError(f"a tensor of shape {self.shape} has only {len(numbers)} numbers in the file")
        bytes_apart = tuple(stride * dtype.itemsize for stride in self.strides)
        view = np.lib.stride_tricks.as_strided(numbers[start:], self.shape, bytes_apart, writeable=False)
        if self.kind == "bfloat16":
            return (view.astype(np.uint32) << 16).view(np.float32)
        return view.astype(dtype.newbyteorder("="))


def instructions(source):
    """(name, argument) of each instruction of a pickle.  Raises ValueError."""
    found = pickletools.genops(source)
    while True:
        try:
            opcode, argument, _ = next(found)
        except StopIteration:
            return
        except (ValueError, EOFError) as error:
            raise ValueError("it is damaged or cut off") from error
        yield opcode.name, argument


class Machine:
    """Runs the instructions of a pickle that make data; calls only what TABLE lists."""

    def __init__(self, file):
        self.file, self.storages = file, {}

    def run(self, source):
        """The value that one pickle of the open file `source` describes."""
        self.stack, self.memo = [], {}
        for count, (name, argument) in enumerate(instructions(source)):
            if count > LONGEST:
                raise ValueError(f"it has more than {LONGEST:,} instructions, which no file of weights needs")
            if name == "STOP":
                return self.stack.pop()
            if name in PLAIN:
                self.stack.append(PLAIN[name](argument))
            elif name in INSTRUCTIONS:
                INSTRUCTIONS[name](self, argument)
            elif name not in ("PROTO", "FRAME"):
                raise ValueError(f"it holds the instruction {name}, which no file of weights needs")
        raise ValueError("it is damaged or cut off")

    def marked(self):
        """The values above the last mark, which are taken off with it."""
        place = len(self.stack) - 1 - self.stack[::-1].index(MARK)
        values = self.stack[place + 1 :]
        del self.stack[place:]
        return values

    def taken(self, count):
        values = self.stack[len(self.stack) - count :]
        if len(values) != count:
            raise ValueError("it is damaged")
        del self.stack[len(self.stack) - count :]
        return values

    def remember(self, place):
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def set_items(self, pairs):
        """Of a dictionary; what an unknown object gets is dropped."""
        if isinstance(self.stack[-1], dict):
            for key, value in zip(pairs[::2], pairs[1::2]):
                if isinstance(key, KEYS):
                    self.stack[-1][key] = value

    def append_all(self, values):
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(values)

    def call(self, function, arguments):
        """What TABLE makes of the arguments, or an `Unknown`."""
        make = TABLE.get(function.name)
        self.stack.append(make(*arguments) if make else Unknown(function.name))


def storage_of(machine, identity):
    """A `Storage` of the tuple that stands for one in the pickle."""
    if identity[0] == "module":  # old files hand classes over with their source text
        return identity[1]
    if identity[0] != "storage":
        raise ValueError(f"it refers to a {identity[0]!r}, which no file of weights needs")
    _, kind, key, _, size, *view = identity
    name = kind.name.rpartition(".")[2]
    kind = STORAGES.get(name, name)
    storage = Storage(machine.file, str(key), kind, int(size))
    machine.storages[storage.key] = storage
    if view and view[0] is not None:
        return Storage(machine.file, str(key), kind, int(view[0][2]), int(view[0][1]))
    return storage


def tensor(storage, offset, shape, strides, *rest):
    return checked(Tensor(storage, offset, tuple(shape), tuple(strides), storage.kind))


def tensor_of_kind(storage, offset, shape, strides, requires_grad, hooks, kind, *rest):
    """Version 3: the kind of number is named beside an untyped storage."""
    return checked(Tensor(storage, offset, tuple(shape), tuple(strides), kind.name.removeprefix("torch.")))


def checked(found):
    numbers = (found.offset, *found.shape, *found.strides)
    if not isinstance(found.storage, Storage) or not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError("it describes an impossible tensor")
    if len(found.shape) != len(found.strides) or len(found.shape) > 32:
        raise ValueError("it describes an impossible tensor")
    return found


def of_class(function, kind, arguments, *rest):
    """A tensor of a class that somebody derived."""
    return TABLE[function.name](*arguments)


def ordered_dictionary(pairs=()):
    return {key: value for key, value in pairs if isinstance(key, KEYS)}


TABLE = {
    "collections.OrderedDict": ordered_dictionary,
    "collections.defaultdict": lambda *factory: {},
    "torch._utils._rebuild_tensor": tensor,
    "torch._utils._rebuild_tensor_v2": tensor,
    "torch._utils._rebuild_tensor_v3": tensor_of_kind,
    "torch._utils._rebuild_parameter": lambda data, *rest: data,
    "torch._utils._rebuild_parameter_with_state": lambda data, *rest: data,
    "torch._tensor._rebuild_from_type_v2": of_class,
    "torch.Size": lambda sides: tuple(sides),
}


def new_object(machine, argument):
    kind, arguments = machine.taken(2)
    machine.call(kind, arguments)


def new_object_with_names(machine, argument):
    kind, arguments, _ = machine.taken(3)
    machine.call(kind, arguments)


def global_by_texts(machine, argument):
    machine.stack.append(Unknown(".".join(machine.taken(2))))


def make_tuple(count):
    return lambda machine, argument: machine.stack.append(tuple(machine.taken(count)))


def dictionary(machine, argument):
    values = machine.marked()
    machine.stack.append({})
    machine.set_items(values)


# Instructions that push their argument, or a constant.
ARGUMENTS = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
)
PLAIN = {
    **dict.fromkeys(ARGUMENTS, lambda argument: argument),
    "NONE": lambda argument: None,
    "NEWTRUE": lambda argument: True,
    "NEWFALSE": lambda argument: False,
    "EMPTY_DICT": lambda argument: {},
    "EMPTY_LIST": lambda argument: [],
    "EMPTY_TUPLE": lambda argument: (),
    "EMPTY_SET": lambda argument: Unknown("set"),
    "MARK": lambda argument: MARK,
    "GLOBAL": lambda argument: Unknown(argument.replace(" ", ".", 1)),
}
INSTRUCTIONS = {
    "STACK_GLOBAL": global_by_texts,
    "POP": lambda machine, argument: machine.taken(1),
    "POP_MARK": lambda machine, argument: machine.marked(),
    "DUP": lambda machine, argument: machine.stack.append(machine.stack[-1]),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), Machine.remember),
    **dict.fromkeys(
        ("GET", "BINGET", "LONG_BINGET"), lambda machine, argument: machine.stack.append(machine.memo[argument])
    ),
    "TUPLE": lambda machine, argument: machine.stack.append(tuple(machine.marked())),
    "TUPLE1": make_tuple(1),
    "TUPLE2": make_tuple(2),
    "TUPLE3": make_tuple(3),
    "LIST": lambda machine, argument: machine.stack.append(machine.marked()),
    "DICT": dictionary,
    "FROZENSET": lambda machine, argument: machine.stack.append(Unknown(f"set of {len(machine.marked())}")),
    "ADDITEMS": lambda machine, argument: machine.marked(),
    "APPEND": lambda machine, argument: machine.append_all(machine.taken(1)),
    "APPENDS": lambda machine, argument: machine.append_all(machine.marked()),
    "SETITEM": lambda machine, argument: machine.set_items(machine.taken(2)),
    "SETITEMS": lambda machine, argument: machine.set_items(machine.marked()),
    "REDUCE": new_object,
    "NEWOBJ": new_object,
    "NEWOBJ_EX": new_object_with_names,
    "BUILD": lambda machine, argument: machine.taken(1),  # the state of an object, which ours do not have
    "BINPERSID": lambda machine, argument: machine.stack.append(storage_of(machine, *machine.taken(1))),
}
