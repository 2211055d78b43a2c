#!/bin/sh
# Starts one worker of a training again until the training is finished:
#
#   TF_CONFIG='...' supervise.sh deeplab-train --config=... --data_dir=... --workdir=...
#
# One such script runs for each worker, each with the TF_CONFIG of its worker. It ends with the
# command where the command is finished (0) or has a wrong flag (2), and where the script itself
# gets SIGTERM or SIGINT, which the command gets too and answers with a checkpoint. It ends as well
# after RESTARTS ends in a row of less than QUICK_SECONDS each with exit code 1, which is most often
# bad input. Everything else, a kill, a lost worker (75), a stop of another worker (143), is followed
# by another start after PAUSE_SECONDS.
: "${PAUSE_SECONDS:=10}" "${QUICK_SECONDS:=60}" "${RESTARTS:=5}"

told=
stop() { told=$1; [ -z "$child" ] || kill -"$1" "$child" 2>/dev/null; }
trap 'stop TERM' TERM
trap 'stop INT' INT

failed=0
while [ -z "$told" ]; do
    begun=$(date +%s)
    "$@" &
    child=$!
    [ -z "$told" ] || kill -"$told" "$child" # told before `child` was known
    wait "$child"
    code=$?
    # A signal to this script ends `wait` before the command has ended.
    while kill -0 "$child" 2>/dev/null; do
        wait "$child"
        code=$?
    done
    child=
    [ -z "$told" ] || break
    case $code in
        0 | 2) break ;;
        1) [ $(($(date +%s) - begun)) -lt "$QUICK_SECONDS" ] && failed=$((failed + 1)) || failed=0 ;;
        *) failed=0 ;;
    esac
    if [ "$failed" -ge "$RESTARTS" ]; then
        echo "supervise: ended with exit code 1 $failed times in a row; given up" >&2
        break
    fi
    echo "supervise: ended with exit code $code; starting again in $PAUSE_SECONDS s" >&2
    left=$PAUSE_SECONDS
    while [ "$left" -gt 0 ] && [ -z "$told" ]; do
        sleep 1 &
        wait "$!"
        left=$((left - 1))
    done
done
exit "$code"
