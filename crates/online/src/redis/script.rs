//! The scripts that write: compare and write in one step on the server.
//!
//! They say in Lua what [`crate::fence`] says in Rust, and the conformance suite holds
//! both to it. Versions are compared as four big-endian numbers: Lua's own comparison
//! of strings follows the server's locale.

use crate::MarkerWrite;
use ::redis::{Cmd, Pipeline, RedisError, ServerErrorKind, Value};

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

/// KEYS: the markers. ARGV: the range, the marker, the expected version or ''.
const PUT_MARKER: &str = "
local range, marker, expected = ARGV[1], ARGV[2], ARGV[3]
local version = string.sub(marker, 1, 16)
local stored = redis.call('HGET', KEYS[1], range)
local found = stored and string.sub(stored, 1, 16)
if found and newer(found, version) then
  return {'fenced', found}
end
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
    return {'fenced', newest}
  end
  if expected ~= '' then
    return {'lost', found or ''}
  end
end
redis.call('HSET', KEYS[1], range, marker)
return {'written', ''}
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

    /// The command that teaches it to the server.
    pub(super) fn load(&self) -> Pipeline {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("SCRIPT").arg("LOAD").arg(&self.text);
        pipeline
    }
}

/// Tells whether the server does not know the script: it was restarted or flushed.
pub(super) fn is_unknown(error: &RedisError) -> bool {
    error.kind() == ServerErrorKind::NoScript.into()
}

/// Reads the answer of the marker script.
pub(super) fn read_marker_write(answer: &Value) -> Option<MarkerWrite> {
    let Value::Array(parts) = answer else {
        return None;
    };
    let [Value::BulkString(word), Value::BulkString(found)] = &parts[..] else {
        return None;
    };
    let found = crate::fence::version_of(found);
    Some(match (&word[..], found) {
        (b"written", _) => MarkerWrite::Written,
        (b"lost", found) => MarkerWrite::Lost { found },
        (b"fenced", Some(found)) => MarkerWrite::Fenced { found },
        _ => return None,
    })
}
