# A series of tasks (the text of one answer, slurped) -> shell words that run it, one task a line.
# Fails for whatever is no series.

def codes: if type == "array" and all(type == "number") then map("\(.) ") | add // "" else "" end;

.[0]
| if (.tasks | type) == "array" then . else error("no series") end
| @sh "order=\(.exit | if type == "object" then .code // 0 else . // "" end)",
  ([.tasks[] | @sh "run_task \(.cmd // "" | tostring) \(.downloadUrl // "") \(" \(.acceptedResponseCodes | codes)") \(.outputUrl // "")"]
   | join(" &&\n"))
