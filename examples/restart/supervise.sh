#!/bin/sh
# Starts one worker of a training again until the training is finished:
#
#   TF_CONFIG='...' supervise.sh deeplab-train --config=... --data_dir=... --workdir=...
#
# One such script runs for each worker, each with the TF_CONFIG of its worker. It ends with the
# command where the command is finished (0), has a wrong flag (2) or cannot be run (126, 127), and
# where the script itself gets SIGTERM or SIGINT, which the command gets too and answers with a
# checkpoint. Everything else is followed by another start after PAUSE_SECONDS: without end after a
# lost worker or store (75) and a stop of another worker (143, 130), and at most RESTARTS times in
# WINDOW_SECONDS after other ends, as bad input (1) and kills, for want of memory too (137).
: "${PAUSE_SECONDS:=10}" "${RESTARTS:=10}" "${WINDOW_SECONDS:=86400}"

told=
child=
stop() { told=$1; [ -z "$child" ] || kill -"$1" "$child" 2>/dev/null; }
trap 'stop TERM' TERM
trap 'stop INT' INT

failed=0
window=$(date +%s)
while [ -z "$told" ]; do
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
    if [ $(($(date +%s) - window)) -gt "$WINDOW_SECONDS" ]; then
        window=$(date +%s)
        failed=0
    fi
    case $code in
        0 | 2 | 126 | 127) break ;;
        75 | 130 | 143) ;;
        *) failed=$((failed + 1)) ;;
    esac
    if [ "$failed" -gt "$RESTARTS" ]; then
        echo "supervise: ended $failed times, now with exit code $code; given up" >&2
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
