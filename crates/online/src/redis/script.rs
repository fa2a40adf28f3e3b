//! The scripts that write: compare and write in one step on the server.
//!
//! They say in Lua what [`crate::fence`] says in Rust, and the conformance suite holds
//! both to it. Versions are compared as four big-endian numbers: Lua's own comparison
//! of strings follows the server's locale.

use crate::MarkerWrite;
use ::redis::{Cmd, Pipeline, RedisError, ServerErrorKind, Value};
use tiderace_types::Version;

/// Whether version `a` is greater than version `b`; both start their strings.
const NEWER: &str = "
local function newer(a, b)
  local a1, a2, a3, a4 = struct.unpack('>I4I4I4I4', a)
  local b1, b2, b3, b4 = struct.unpack('>I4I4I4I4', b)
  if a1 ~= b1 then return a1 > b1 end
  if a2 ~= b2 then return a2 > b2 end
  if a3 ~= b3 then return a3 > b3 end
  return a4 > b4
end
";

/// KEYS: rows. ARGV: for each its value and its time to live in milliseconds, or ''.
const PUT_ROWS: &str = "
local written = 0
for i = 1, #KEYS do
  local value, ttl = ARGV[2 * i - 1], ARGV[2 * i]
  local stored = redis.call('GETRANGE', KEYS[i], 0, 15)
  if #stored < 16 or newer(value, stored) then
    if ttl == '' then
      redis.call('SET', KEYS[i], value)
    else
      redis.call('SET', KEYS[i], value, 'PX', ttl)
    end
    written = written + 1
  end
end
return written
";

/// KEYS: a receipt. ARGV: the new one, the least that must be there. Where the server has gone back
/// it stays as it is: later rows must not hide that earlier ones are gone.
const PUT_RECEIPT: &str = "
local held = redis.call('GET', KEYS[1])
if held and newer(ARGV[1], held) and not newer(ARGV[2], held) then
  redis.call('SET', KEYS[1], ARGV[1])
end
return 1
";

/// KEYS: the markers, the receipt of the range. ARGV: the range, the marker, the expected version
/// or '', the least receipt that must be there or '', the receipt to begin with or ''.
const PUT_MARKER: &str = "
local range, marker, expected = ARGV[1], ARGV[2], ARGV[3]
local receipt, first = ARGV[4], ARGV[5]
local version = string.sub(marker, 1, 16)
local stored = redis.call('HGET', KEYS[1], range)
local found = stored and string.sub(stored, 1, 16)
if found and newer(found, version) then
  return {'fenced', found, ''}
end
local held = redis.call('GET', KEYS[2])
if not (found and (found == expected or found == version)) then
  local first, last = string.match(range, '^(%d+)-(%d+)$')
  local all = redis.call('HGETALL', KEYS[1])
  local newest = version
  for i = 1, #all, 2 do
    local from, to = string.match(all[i], '^(%d+)-(%d+)$')
    local overlaps = tonumber(from) <= tonumber(last) and tonumber(first) <= tonumber(to)
    if overlaps and newer(all[i + 1], newest) then
      newest = string.sub(all[i + 1], 1, 16)
    end
  end
  if newest ~= version then
    return {'fenced', newest, ''}
  end
  if expected ~= '' then
    return {'lost', found or '', held or ''}
  end
elseif receipt ~= '' and (not held or newer(receipt, held)) then
  return {'lost', found, held or ''}
end
redis.call('HSET', KEYS[1], range, marker)
if first ~= '' then
  redis.call('SET', KEYS[2], first)
end
return {'written', '', ''}
";

/// KEYS: the markers. ARGV: first and last shard, the range that stays.
const RETIRE_MARKERS: &str = "
local first, last, owner = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local version = redis.call('HGET', KEYS[1], owner)
if not version then
  return 0
end
local retired = 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local from, to = string.match(all[i], '^(%d+)-(%d+)$')
  local overlaps = tonumber(from) <= last and first <= tonumber(to)
  if all[i] ~= owner and overlaps and newer(version, all[i + 1]) then
    retired = retired + redis.call('HDEL', KEYS[1], all[i])
  end
end
return retired
";

/// A script, called by the hash of its text.
#[derive(Debug)]
pub(super) struct Script {
    text: String,
    hash: String,
}

impl Script {
    pub(super) fn put_rows() -> Script {
        Script::new(PUT_ROWS)
    }

    pub(super) fn put_receipt() -> Script {
        Script::new(PUT_RECEIPT)
    }

    pub(super) fn put_marker() -> Script {
        Script::new(PUT_MARKER)
    }

    pub(super) fn retire_markers() -> Script {
        Script::new(RETIRE_MARKERS)
    }

    fn new(body: &str) -> Script {
        let text = format!("{NEWER}{body}");
        let hash = ::redis::Script::new(&text).get_hash().to_owned();
        Script { text, hash }
    }

    /// Begins a call with `keys` keys; keys and arguments are to be added.
    pub(super) fn call(&self, keys: usize) -> Cmd {
        let mut call = ::redis::cmd("EVALSHA");
        call.arg(&self.hash).arg(keys);
        call
    }

    /// Adds the command that teaches it to the server.
    pub(super) fn load(&self, pipeline: &mut Pipeline) {
        pipeline.cmd("SCRIPT").arg("LOAD").arg(&self.text);
    }
}

/// Tells whether the server does not know the script: it was restarted or flushed.
pub(super) fn is_unknown(error: &RedisError) -> bool {
    error.kind() == ServerErrorKind::NoScript.into()
}

/// Reads the answer of the marker script, with the receipt that is there if rows were lost.
pub(super) fn read_marker_write(answer: &Value) -> Option<(MarkerWrite, Option<Version>)> {
    let Value::Array(parts) = answer else {
        return None;
    };
    let [
        Value::BulkString(word),
        Value::BulkString(found),
        Value::BulkString(held),
    ] = &parts[..]
    else {
        return None;
    };
    let found = crate::fence::version_of(found);
    let written = match (&word[..], found) {
        (b"written", _) => MarkerWrite::Written,
        (b"lost", found) => MarkerWrite::Lost { found },
        (b"fenced", Some(found)) => MarkerWrite::Fenced { found },
        _ => return None,
    };
    Some((written, crate::fence::version_of(held)))
}
