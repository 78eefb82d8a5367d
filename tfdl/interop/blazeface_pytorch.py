"""Names of BlazeFace-PyTorch (github.com/hollance/BlazeFace-PyTorch): MediaPipe's network for front cameras.

model = tfdl.build("blaze_face", "mediapipe", weights="blazeface.pth")
"""

from tfdl.interop.layouts import Layout

FIRST = 11  # blocks of backbone1, whose modules 0 and 1 are the stem and its activation


def block(match, paths):
    """convs.0 is the depthwise convolution, convs.1 the other."""
    number, place = int(match[1]), int(match[2] == "pointwise")
    module = f"backbone1.{number + 1}" if number <= FIRST else f"backbone2.{number - FIRST - 1}"
    return f"{module}.convs.{place}"


BLAZE_FACE = (
    (r"stem_conv", "backbone1.0"),
    (r"block(\d+)_(depthwise|pointwise)", block),
    (r"offsets(\d+)", r"regressor_\1"),
    (r"scores(\d+)", r"classifier_\1"),
)
LAYOUT = Layout(name="blazeface_pytorch", families={"blaze_face": BLAZE_FACE}, torch=True)
