use super::*;
use tiderace_types::Duration;

fn town() -> Town {
    Town {
        seed: 7,
        ..Town::default()
    }
}

#[test]
fn the_same_seed_gives_the_same_payments() {
    let first: Vec<Payment> = Payments::new(town()).take(5000).collect();
    let again: Vec<Payment> = Payments::new(town()).take(5000).collect();
    assert_eq!(first, again);
    let mut other = town();
    other.seed = 8;
    assert_ne!(first[0], Payments::new(other).next().expect("endless"));
}

#[test]
fn payments_are_in_order_and_believable() {
    let payments: Vec<Payment> = Payments::new(town()).take(50_000).collect();
    assert!(payments.is_sorted_by_key(|payment| payment.tx_time));
    let fraud = payments.iter().filter(|payment| payment.is_fraud).count();
    assert!((50..5000).contains(&fraud), "{fraud} of 50,000 are fraud");
    let mut cents: Vec<i64> = payments.iter().map(|payment| payment.cents).collect();
    cents.sort_unstable();
    assert!(
        (1000..6000).contains(&cents[25_000]),
        "median {}",
        cents[25_000]
    );
    let days = payments[49_999].tx_time.since(payments[0].tx_time).0 / 86_400_000_000;
    assert!((4..8).contains(&days), "{days} days");
}

#[test]
fn records_are_what_they_say() {
    let trouble = Trouble {
        disorder: Duration::from_secs(600),
        duplicates: 0.1,
        broken: 0.05,
    };
    let records = records(&town(), trouble, 2000);
    let mut kinds = [0; 3];
    for record in &records {
        let parsed = serde_json::from_slice::<serde_json::Value>(&record.payload());
        match record {
            Record::Payment(payment) | Record::Copy(payment) => {
                kinds[usize::from(matches!(record, Record::Copy(_)))] += 1;
                let json = parsed.expect("a payment is JSON");
                assert_eq!(json["tx_id"], payment.tx_id);
                assert_eq!(json["amount"], payment.amount());
            }
            Record::Broken(Breakage::Malformed | Breakage::Empty, _) => assert!(parsed.is_err()),
            Record::Broken(..) => kinds[2] += 1,
        }
    }
    assert_eq!(kinds[0], 2000);
    assert!(kinds[1] > 100 && kinds[2] > 30, "{kinds:?}");
}
