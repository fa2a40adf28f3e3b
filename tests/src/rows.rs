//! The rows that a Redis has, but for what depends on when they were published.

use std::collections::BTreeMap;
use tiderace_testkit::redis::Redis;

/// Asserts that one Redis has the rows of another.
///
/// # Panics
/// Where it has not.
pub fn assert_alike(redis: &Redis, clean: &Redis) {
    let (rows, clean_rows) = (rows(redis), rows(clean));
    assert!(!rows.is_empty(), "no rows");
    assert_eq!(rows.len(), clean_rows.len(), "rows in redis");
    let unlike: Vec<_> = rows
        .iter()
        .filter(|(key, row)| clean_rows.get(*key) != Some(*row))
        .map(|(key, row)| (key, row, clean_rows.get(key)))
        .collect();
    let missing: Vec<_> = clean_rows
        .keys()
        .filter(|key| !rows.contains_key(*key))
        .collect();
    assert!(
        missing.is_empty(),
        "rows of {missing:?} are not in redis; unlike: {unlike:?}"
    );
    assert!(
        unlike.is_empty(),
        "{} of {} rows in redis differ: {unlike:?}",
        unlike.len(),
        rows.len()
    );
}

/// The digest of every row but for its version and what depends on it, by key.
fn rows(redis: &Redis) -> BTreeMap<String, String> {
    let listed = redis.command(&["EVAL", ROWS, "0"]).expect("rows");
    let entry = |line: &str| {
        let (key, row) = line.split_once(' ').expect("a key and a digest");
        (key.to_owned(), row.to_owned())
    };
    listed.lines().map(entry).collect()
}

/// The version is the first sixteen bytes, the checksum the last four. Where a row with merged
/// spans is cut depends on when it was published; what it answers is asked.
const ROWS: &str = "\
local lines = {}
for i, key in ipairs(redis.call('KEYS', '*:r{*')) do
  local row = redis.call('GET', key)
  local flags = string.byte(row, 18)
  local digest = 'merged'
  if bit.band(flags, 4) == 0 then
    digest = flags .. ':' .. #row .. ':' .. redis.sha1hex(string.sub(row, 17, #row - 4))
  end
  local name = string.gsub(key, '.', function(c) return string.format('%02x', string.byte(c)) end)
  lines[i] = name .. ' ' .. digest
end
return table.concat(lines, '\\r\\n')";
