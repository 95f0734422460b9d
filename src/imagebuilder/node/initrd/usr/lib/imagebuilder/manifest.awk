# Reads a manifest as `imagebuilder` writes it (store/manifest.py: JSON, indented by two, keys in a
# fixed order) and prints KIND SHA256 SIZE TITLE for each layer, and what else is to be known of it: of an
# overlay, BYTES that it unpacks to and the paths of special files, of a base, BLOCKS and the ROOT of its hash
# tree; and !node-layer if nodes may stack one of their own. Anything else: a sentence, status 1.

function refuse(why) {
    if (!refused) print why " in line " NR
    refused = 1
    exit 1
}
function expect(pattern) {
    if ($0 !~ "^" pattern "$") refuse("unexpected text")
}
# The text between the last two quotes of the line.
function value(parts, n) {
    n = split($0, parts, "\"")
    return parts[n - 1]
}

BEGIN {
    plain = "[A-Za-z0-9._+~=:@/-]+"
    title = "[A-Za-z0-9_+~=:@-][A-Za-z0-9._+~=:@-]*"
    note = "\"" plain "\": \"[^\"\\\\]*\",?"
    state = "head"
}
length($0) > 65536 { refuse("a long line") }

state == "head" {
    if (NR == 1) expect("[{]")
    if (NR == 2) expect("  \"schemaVersion\": 2,")
    if (NR == 3) expect("  \"mediaType\": \"application/vnd[.]oci[.]image[.]manifest[.]v1[+]json\",")
    if (NR == 4) expect("  \"artifactType\": \"application/vnd[.]on-imagebuilder[.]image[.]v1\",")
    if (NR == 5) expect("  \"config\": [{]")
    if (NR == 6) expect("    \"mediaType\": \"application/vnd[.]oci[.]empty[.]v1[+]json\",")
    if (NR == 7) expect("    \"digest\": \"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\",")
    if (NR == 8) expect("    \"size\": 2")
    if (NR == 9) expect("  },")
    if (NR == 10) { expect("  \"layers\": [[]"); state = "layer" }
    next
}
state == "layer" {
    if ($0 == "  ],") { state = "notes"; next }
    expect("    [{]")
    state = "type"
    next
}
state == "type" {
    expect("      \"mediaType\": \"application/vnd[.]on-imagebuilder[.]" plain "\",")
    kind = value()
    sub(/^application\/vnd[.]on-imagebuilder[.]/, "", kind)
    state = "digest"
    next
}
state == "digest" {
    expect("      \"digest\": \"sha256:[0-9a-f]*\",")
    digest = substr(value(), 8)
    if (length(digest) != 64) refuse("no digest")
    state = "size"
    next
}
state == "size" {
    expect("      \"size\": [1-9][0-9]*,")
    size = $2 + 0
    if (length($2) > 13) refuse("a strange size")
    sub(/,/, "", $2)
    size = $2
    state = "annotations"
    next
}
state == "annotations" {
    expect("      \"annotations\": [{]")
    name = unpacked = special = verity = ""
    state = "annotation"
    next
}
state == "annotation" {
    if ($0 == "      }") {
        if (name == "") refuse("a layer without a title")
        if ((unpacked == "") != (special == "")) refuse("half of what the layer unpacks to")
        if (unpacked != "" && kind !~ /^overlay[.]/) refuse("an overlay's note")
        if (verity != "" && kind !~ /^base[.]/) refuse("a base's note")
        print kind, digest, size, name, (verity != "" ? verity : unpacked " " substr(special, 2))
        state = "end"
        next
    }
    if ($0 ~ "^        \"org[.]opencontainers[.]image[.]title\": ") {
        expect("        \"org[.]opencontainers[.]image[.]title\": \"" title "\",?")
        if (name != "") refuse("a second title")
        name = value()
    } else if ($0 ~ "^        \"on-imagebuilder[.]unpacked\": ") {
        expect("        \"on-imagebuilder[.]unpacked\": \"(0|[1-9][0-9]*)\",?")
        unpacked = value()
        if (length(unpacked) > 13) refuse("a strange size")
    } else if ($0 ~ "^        \"on-imagebuilder[.]special\": ") {
        expect("        \"on-imagebuilder[.]special\": \"[A-Za-z0-9._+~=:@,%/ -]*\",?")
        special = "=" value()
    } else if ($0 ~ "^        \"on-imagebuilder[.]verity\": ") {
        expect("        \"on-imagebuilder[.]verity\": \"[1-9][0-9]* [0-9a-f]*\",?")
        verity = value()
        if (length(verity) > 76 || verity !~ / ................................................................$/)
            refuse("no root of a hash tree")
    } else expect("        " note)
    next
}
state == "end" {
    expect("    [}],?")
    state = "layer"
    next
}
state == "notes" {
    expect("  \"annotations\": [{]")
    state = "note"
    next
}
state == "note" {
    if ($0 == "  }") { state = "foot"; next }
    expect("    " note)
    if ($0 ~ /^    "vnd[.]on-imagebuilder[.]node-layer": "true",?$/) print "!node-layer"
    next
}
state == "foot" {
    expect("[}]")
    state = "done"
    next
}
{ refuse("more text") }
END {
    if (!refused && state != "done") {
        print "no end"
        exit 1
    }
}
