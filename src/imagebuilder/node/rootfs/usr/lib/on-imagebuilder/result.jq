# The series with what its first $ran tasks said, from the files named errorN, stdoutN and stderrN.
# A task that failed carries its words only if it had a download: so did the first agent.

$ARGS.named as $said
| reduce range(0; $ran) as $i (.;
    .tasks[$i] |= (
      $said["error\($i)"][0] as $error
      | . + {error: $error}
      + if $error == null or (.downloadUrl // "") != ""
        then {stdout: $said["stdout\($i)"], stderr: $said["stderr\($i)"]}
        else {}
        end))
