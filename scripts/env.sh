export TIDERACE_CACHE="${TIDERACE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tiderace}"
