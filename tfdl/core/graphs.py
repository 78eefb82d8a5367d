"""SavedModels are programs, so their operators are checked before TensorFlow loads one.

Operators that access files, the network, other processes or Python are refused; prediction needs none of them.  A
SavedModel also contains two functions that save and restore its variables with such operators.  TensorFlow calls
neither to load or run a model, so they are allowed as long as nothing else calls them.
"""

import re
from pathlib import Path

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from tfdl.core.files import refuse_links

FILE = "saved_model.pb"
SHOWN = 5  # largest number of operators in a message
# Patterns of whole operator names.  A test compares them with every operator of the installed TensorFlow that has an
# argument named like a file or an address.
REFUSED = re.compile(
    "|".join(
        (
            # files
            r"ReadFile|WriteFile|MatchingFiles|FileSystem\w*|ImmutableConst|RecordInput|ImportEvent",
            r"Save\w*|Restore\w*|MergeV2Checkpoints|ShardedFilename|ShardedFilespec|DTensorRestoreV2|DistributedSave",
            r"InitializeTableFromTextFile\w*|GenerateVocabRemapping|LoadAndRemapMatrix|FixedUnigramCandidateSampler",
            r"Skipgram|EncodeProto|DecodeProto\w*|CalibrationStatisticsSaver|\w*Reader\w*|LMDB\w*|\w*Snapshot\w*",
            r"\w*Summary\w*|Debug\w*|Dump\w*|Print\w*",
            # data pipelines, which read files and are not needed for prediction
            r"\w*Dataset\w*|\w*Iterator\w*|\w*TFRecord\w*",
            # network, other devices and processes
            r"Rpc\w*|\w*DataService\w*|RemoteCall|_?Send|_?Recv|_Host\w*|Collective\w*|Nccl\w*|_Nccl\w*|WorkerHeartbeat",
            r"\w*TPU\w*|Infeed\w*|Outfeed\w*",
            # code outside of TensorFlow graphs
            r"\w*PyFunc\w*|\w*NumpyFunc\w*|XlaCallModule|XlaCustomCall\w*|\w*XlaHost\w*|_Xla\w*|XlaLaunch\w*|\w*TRT\w*",
        )
    )
)
SAVER = frozenset({"SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename"})


def check_saved_model(folder):
    """The names of the signatures of the SavedModel in `folder`, after a check of its operators.

    Raises:
        FileNotFoundError: there is no SavedModel.
        ValueError: it cannot be read, or it contains a link or refused operators, which the message names.
    """
    file = Path(folder) / FILE
    refuse_links(folder, ".")
    if not file.is_file():
        raise FileNotFoundError(f"There is no {FILE} in {folder}; give the folder of a SavedModel.")
    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString(file.read_bytes())
    except DecodeError as error:
        raise ValueError(f"{file} is not a SavedModel ({error}); export the model again.") from error
    if len(saved.meta_graphs) != 1 or not saved.meta_graphs[0].HasField("object_graph_def"):
        raise ValueError(
            f"{folder} is a SavedModel of TensorFlow 1, which tfdl does not read; save it again with Keras."
        )
    (graph,) = saved.meta_graphs
    found = refused_operators(graph)
    if found:
        names = ", ".join(sorted(found)[:SHOWN]) + (" ..." if len(found) > SHOWN else "")
        raise ValueError(
            f"{folder} contains operators that access files, the network or Python ({names}), so it is not loaded; "
            "export the model without them."
        )
    return sorted(name for name in graph.signature_def if not name.startswith("__"))


def refused_operators(graph):
    """Names of the refused operators in a `MetaGraphDef`."""
    functions = {function.signature.name: function.node_def for function in graph.graph_def.library.function}
    used = {name: {node.op for node in nodes} for name, nodes in functions.items()}
    calls = {name: {callee for node in nodes for callee in callees(node)} for name, nodes in functions.items()}
    everywhere = {node.op for node in graph.graph_def.node}.union(*used.values())
    found = {name for name in everywhere - SAVER if REFUSED.fullmatch(name)}
    # Every function that TensorFlow may call, at loading or later, is a concrete function of the object graph.
    waiting, reached = list(graph.object_graph_def.concrete_functions), set()
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        waiting += calls.get(name, ())
        found |= used.get(name, set()) & SAVER
    return found


def callees(node):
    """Names of the functions that a node calls: by an attribute, or because its operator is one."""
    yield node.op
    for value in node.attr.values():
        yield from (function.name for function in (value.func, *value.list.func) if function.name)
