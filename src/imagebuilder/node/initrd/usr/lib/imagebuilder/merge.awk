# Does to a database of the system what an overlay says that it changed there.
#
#     awk -v kind=KIND -f merge.awk CHANGES FILE
#
# The program's steps/databases.py writes CHANGES, and tells of KIND and of what the marks mean. Records
# that FILE has stay in their order; new ones follow, but stanzas lie where they belong, as dpkg sorts them.

BEGIN {
    if (kind == "stanzas") {
        RS = ""
        ORS = "\n\n"
    }
}

FILENAME == ARGV[1] {
    mark = substr($0, 1, 1)
    rest = substr($0, 2)
    if (mark == "=") put(key_of(rest), rest)
    else if (mark == "-") removed[rest] = 1
    else if (mark == "+") joined[group_of(rest)] = joined[group_of(rest)] "," member_of(rest)
    else if (mark == "~") left[group_of(rest)] = left[group_of(rest)] "," member_of(rest) ","
    else if (mark != "<") put(key_of($0), $0)
    next
}

{
    key = key_of($0)
    while (kind == "stanzas" && at < count && order[at + 1] < key) print_new(order[++at])
    if (!(key in removed)) print_record(key, (key in changed) ? changed[key] : $0, $0)
}

END {
    while (at < count) print_new(order[++at])
}

function put(key, text) {
    changed[key] = text
    order[++count] = key
}

function print_new(key) {
    if (!(key in done)) print_record(key, changed[key], "")
}

# With the members that it had before, those that joined, and without those that left.
function print_record(key, text, before,    names, i, n, result) {
    done[key] = 1
    if (kind == "members") {
        n = split(last_field(text) "," last_field(before) joined[key], names, ",")
        for (i = 1; i <= n; i++) {
            if (names[i] == "" || index("," result ",", "," names[i] ",")) continue
            if (!index(left[key], "," names[i] ",")) result = result (result == "" ? "" : ",") names[i]
        }
        text = substr(text, 1, length(text) - length(last_field(text))) result
    }
    print text
}

function key_of(text,    lines, i, n, package, architecture) {
    if (kind == "set") return text
    if (kind != "stanzas") return substr(text, 1, index(text ":", ":") - 1)
    n = split(text, lines, "\n")
    for (i = 1; i <= n; i++) {
        if (lines[i] ~ /^Package: /) package = substr(lines[i], 10)
        if (lines[i] ~ /^Architecture: /) architecture = substr(lines[i], 15)
    }
    return package " " architecture
}

function group_of(text) {
    return substr(text, 1, index(text, " ") - 1)
}

function member_of(text) {
    return substr(text, index(text, " ") + 1)
}

function last_field(text,    fields, n) {
    n = split(text, fields, ":")
    return n ? fields[n] : ""
}
