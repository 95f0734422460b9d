# One journal entry (systemd's JSON export) -> one line of BSD syslog (RFC 3164).

# The journal gives what is not UTF-8 as a list of bytes, and null for what is too long.
def text: if type == "array" then map(if . < 128 then . else 63 end) | implode else . // "" | tostring end;

(if ._TRANSPORT == "kernel" then 0 else .SYSLOG_FACILITY // 3 | tonumber end) as $facility
| (.__REALTIME_TIMESTAMP | tonumber / 1000000 | floor | strftime("%b %e %H:%M:%S")) as $time
| (.SYSLOG_IDENTIFIER // ._COMM // "unknown" | text) as $tag
| (.SYSLOG_PID // ._PID | if . == null then "" else "[\(.)]" end) as $pid
| "<\($facility * 8 + (.PRIORITY // 6 | tonumber))>\($time) \(._HOSTNAME // "monorail-micro") \($tag)\($pid): "
  + (.MESSAGE | text | gsub("\n"; "#012"))[:1900]
