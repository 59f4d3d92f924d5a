"""Command lines with odd options; each must end in one or two lines, or in a result."""

PARTS = {
    "LONG": "x" * 5000,
    "SURROGATE": "a\udc80b",
    "DIGITS": "9" * 5000,
    "MANY": "_".join(["a"] * 1000),
}
"""Long parts of command lines; ``_`` is a space inside an argument."""

ODD = """
ground photo.png --model captioner.keras --out out
    --caption {MANY}
    --caption !!!
    --caption {LONG}
    --caption {SURROGATE}
    --beam 1000000000
    --beam 0
    --beam -3
    --beam {DIGITS}
    --beam 1.5
    --share nan
    --share inf
    --share 1e400
    --share 0
    --share -1
    --method nothing
    --methods ,
    --methods {LONG}
    --methods evidence,evidence
    --limit 3
    --coco coco/dev
    --coco photo.png --annotations result.json
    --coco coco/dev --annotations coco
    --coco coco/dev --annotations {LONG}
    --model {LONG}
    --model net.keras
    --model photo.png
    --model coco
    --model os:getcwd
    --model os.path:nothing
    --model no.such:thing
    --model {SURROGATE}
    --out {LONG}
    --out photo.png
    --out photo.png/deeper
    --out /proc/nothing
    --out /dev/null
    --annotations result.json
    --workers 2
    --coco coco/dev --annotations coco/captions.json --workers 0
    --coco coco/dev --annotations coco/captions.json --ray nowhere
    --coco coco/dev --annotations coco/captions.json --ray {LONG}
    --nothing
    --json
    {LONG}
    coco
    missing.png
    /dev/zero
    photo.png
    labelled/annotations.json
trace photo.png --model net.keras --out out --methods saliency
    --target {DIGITS}
    --target 3
    --target -1
    --target nothing
    --target {LONG}
    --target {SURROGATE}
    --target ''
    --target red
    --target ²
    --top 0
    --top 1000000000
    --top {DIGITS}
    --layer nothing
    --layer {LONG}
    --layer last_map --target 99
    --layer last_map --target {DIGITS}
    --layer last_map --target 0,0,99
    --layer last_map --target 1,2
    --layer image
    --layer last_map
    --at nothing
    --at image
    --at last_map
    --weights random
    --weights photo.png
    --weights {LONG}
    --preprocessing nothing
    --preprocessing torch
    --model captioner.keras
    --model photo.png
    --model coco
    --model {LONG}
    --model nothing
    --model alexnet
    --model alexnet --weights photo.png
    --model alexnet --weights coco
    --model squeezenet --weights result.json
    --model doodlenet --weights photo.png
    --model os:getcwd
    --model sketch --weights photo.png
    --out photo.png
    --out {LONG}
    --methods nothing
    --methods ''
    photo.png
    {LONG}
    coco
    --out .
evaluate localization --data labelled --model net.keras --methods center
    --limit 0
    --limit 1
    --limit -1
    --limit {DIGITS}
    --part nothing
    --split nothing
    --split {LONG}
    --split ../..
    --workers 0
    --ray nowhere
    --ray localhost:{DIGITS}
    --data {LONG}
    --data photo.png
    --data nothing
    --data /dev/null
    --data {SURROGATE}
    --model nothing
    --model captioner.keras
    --model plain.keras
    --model os:getcwd
    --weights photo.png
    --methods nothing
    --methods ''
    --methods center,center
    --json photo.png
    --json out
    --json out/a.html
    --json nothing/a.json
    --json /dev/null
    --json /dev/stdout
    --json {LONG}.json
    --json out/{SURROGATE}.json
    --json out/a.JSON
    --json ''
    --json out/a.json --fresh
    --fresh
evaluate phrases --data phrases --model captioner.keras --methods center
    --split nothing
    --split {LONG}
    --split ''
    --split train
    --data labelled
    --data coco
    --model net.keras
    --model nothing.keras
    --limit 1
    --part tune
    --part report
    --methods occlusion --limit 1
    --methods lime
    --json phrases
train sketch --data sketches --epochs 0
    ...
    --out out/a.keras
    --out out/a
    --out out
    --out nothing/a.keras
    --out /dev/null
    --out {LONG}.keras
    --out photo.png
    --seed 4294967296 --out out/a.keras
    --seed {DIGITS} --out out/a.keras
    --seed -1 --out out/a.keras
    --batch 0 --out out/a.keras
    --batch 1000000000 --out out/a.keras
    --patience 0 --out out/a.keras
    --data photo.png --out out/a.keras
    --data coco --out out/a.keras
    --network nothing --out out/a.keras
    --epochs -1 --out out/a.keras
    --epochs 1000000000000000000000 --out out/a.keras
    --out out/{SURROGATE}.keras
train captioner --data coco --random-encoder --epochs 0 --fine-tune-epochs 0 --min-count 1
    --out out/a
    --out nothing/a.keras
    --units 1000000000 --out out/a.keras
    --embedding-size 1000000000 --out out/a.keras
    --views 1000000000 --out out/a.keras
    --seed 4294967296 --out out/a.keras
    --encoder nothing --out out/a.keras
    --data photo.png --out out/a.keras
    --data labelled --out out/a.keras
    --min-count 1000 --out out/a.keras
    --min-count {DIGITS} --out out/a.keras
    --units 0 --out out/a.keras
    --fine-tune-epochs 1 --fine-tune-after nothing --out out/a.keras
train scenes --head gap --epochs 0 --refine-epochs 0
    --scenes 1 --out out/a.keras
    --scenes 0 --out out/a.keras
    --seed 4294967296 --scenes 8 --out out/a.keras
    --out out/a
    --scenes {DIGITS} --out out/a.keras
    --out nothing/a.keras
train discernible --model net.keras
    --data labelled --out out/a
    --data labelled --out out/a.json --rounds 1
    --data coco --out out/a.json
    --data nothing --out out/a.json
    --data labelled --out out
    --data labelled --out out/a.json --seed {DIGITS}
    --data labelled --out out/a.json --rounds 0
train flowers
    ...
    --kind single-6c --out out/a
    --kind nothing --out out/a.keras
    --kind single-6c --out nothing/a.keras
    --kind single-6c --out out/a.keras --seed 4294967296 --count 1
evaluate scenes --methods center
    --limit 0
    --limit 2
    --limit {DIGITS}
    --model nothing
    --model net.keras
    --model captioner.keras --limit 2
    --model coco
    --model {LONG}
    --methods nothing
evaluate flowers --kind single-6c --methods center
    --limit 1
    --limit 0
    --model net.keras --limit 6
    --model nothing.keras
    --model coco
    --kind nothing
evaluate speed
    --networks nothing
    --networks ''
    --batch 0
    --batch x
    --batch 1,,2 --networks nothing
    --batch {DIGITS}
    --data nothing
    --data coco --model net.keras
    --methods nothing
    --rounds 0
    --json out
evaluate report
    ...
    result.json
    result.json --out out
    result.json --out out/a.json
    result.json result.json --out out/a.md
    photo.png --out out/a.md
    coco --out out/a.md
    result.json --out out/a.md --keep nothing
    result.json --out out/a.md --keep coco
    {LONG} --out out/a.md
    result.json --out nothing/a.md
interpret --model net.keras --data classes --out out
    --mu nan
    --mu inf
    --mu 0
    --mu -1
    --mu 1e400
    --mu x
    --mu 1e300
    --limit 0
    --limit 1
    --scale nothing
    --variant nothing
    --words a
    --json out
    --json out/a.html
    --data photo.png
    --data nothing
    --data {LONG}
    --data coco
    --data labelled
    --model nothing
    --model captioner.keras
    --model captioner --data labelled
    --out photo.png
    --out {LONG}
    --weights photo.png
doctor
    ...
    --json
    nothing
gazeback
    ...
    --help
    nothing
    --version
    ground --help
    evaluate
    evaluate nothing
    train
    {LONG}
    {SURROGATE}
"""
"""Command lines, and below each what is added to it; later options win over earlier ones."""


def cases() -> list[list[str]]:
    """All command lines as lists of arguments."""
    found, base = [], ""
    for line in ODD.strip().splitlines():
        if not line.startswith("    "):
            base = line.removeprefix("gazeback")
        else:
            words = f"{base} {line.strip().removeprefix('...')}".split()
            found.append([_argument(word) for word in words])
    return found


def _argument(word: str) -> str:
    if word == "''":
        return ""
    filled = word.format(**PARTS)
    return filled.replace("_", " ") if "{MANY}" in word else filled
