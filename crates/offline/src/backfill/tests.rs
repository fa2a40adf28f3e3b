use super::*;
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use std::sync::Arc;

fn batch(from: i64, to: i64) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(from..to));
    RecordBatch::try_from_iter([("n", numbers)]).expect("one column")
}

fn manifest(files: Vec<File>, counts: Counts) -> Manifest {
    Manifest {
        form: FORM,
        view: "spend".to_owned(),
        fingerprint: 7,
        generation: 1,
        job: 9,
        join: Join::Positions,
        whole: Whole::From(5),
        until: None,
        counts,
        files,
    }
}

async fn write(folder: &Folder, part: (u32, u32), cuts: &[i64]) -> Writer {
    let schema = batch(0, 0).schema();
    let opened = Writer::open(folder.clone(), part, schema).await;
    let mut writer = opened.expect("open");
    for pair in cuts.windows(2) {
        writer.write(&batch(pair[0], pair[1])).await.expect("write");
        if pair[1] % 2 == 0 {
            writer.close().await.expect("put");
        }
    }
    writer
}

#[tokio::test]
async fn it_goes_on_behind_the_files_that_are_there() {
    let home = tempfile::tempdir().expect("a folder");
    let place = Place::folder(home.path()).expect("a place");
    let folder = Folder::new(place, "spend", 9);
    // Whole files end at 4 and 10; what was open is lost.
    drop(write(&folder, (1, 1), &[0, 1, 4, 10, 11]).await);
    assert!(folder.parts(1).await.expect("read").is_none());
    let writer = write(&folder, (1, 1), &[0, 3, 11, 13]).await;
    let files = writer.finish().await.expect("finish");
    let events: Vec<u64> = files.iter().map(|file| file.events).collect();
    assert_eq!(events, [4, 6, 3]);
    let counts = Counts {
        read: 14,
        taken: 13,
        refused: [("bad_time".to_owned(), 1)].into(),
        ..Counts::default()
    };
    assert!(counts.balances());
    let put = folder.put_part((1, 1), files.clone(), counts.clone()).await;
    put.expect("put");
    let whole = folder.parts(1).await.expect("read").expect("whole");
    assert_eq!(whole, (files.clone(), counts.clone()));
    let said = manifest(files.clone(), counts);
    folder.put_manifest(&said).await.expect("put");
    // The first one stands.
    let other = manifest(Vec::new(), Counts::default());
    folder.put_manifest(&other).await.expect("put");
    assert_eq!(folder.manifest().await.expect("read"), Some(said));
    for from in 0..=13 {
        let mut read = Vec::new();
        let mut left = Files::new(folder.clone(), &files, from);
        while let Some(batches) = left.next(2).await.expect("read") {
            for batch in batches {
                let batch = batch.expect("read");
                read.extend_from_slice(batch.column(0).as_primitive::<Int64Type>().values());
            }
        }
        assert_eq!(read, Vec::from_iter(from as i64..13));
    }
}

#[tokio::test]
async fn a_damaged_file_is_named() {
    let home = tempfile::tempdir().expect("a folder");
    let place = Place::folder(home.path()).expect("a place");
    let folder = Folder::new(place.clone(), "spend", 9);
    let files = write(&folder, (2, 2), &[0, 5]).await.finish().await;
    let files = files.expect("finish");
    let path = home.path().join(folder.key(&files[0].key).as_ref());
    std::fs::write(path, b"PAR1 of something else PAR1").expect("write");
    let mut left = Files::new(folder, &files, 0);
    let Err(error) = left.next(2).await else {
        panic!("it reads");
    };
    assert!(
        error.to_string().contains("part-2-of-2/000000-5.parquet"),
        "{error}"
    );
}

#[test]
fn a_manifest_keeps_its_form() {
    // Golden: these are on disks.
    let text = r#"{"form":1,"view":"spend","fingerprint":7,"generation":1,"job":9,"join":"positions","whole":{"from":5},"until":null,"counts":{"read":1,"taken":1,"outside":0,"by_stream":0,"filtered":0,"null_key":0,"dropped":0,"refused":{}},"files":[{"key":"part-1-of-1/000000-1.parquet","events":1}]}"#;
    let file = File {
        key: "part-1-of-1/000000-1.parquet".to_owned(),
        events: 1,
    };
    let counts = Counts {
        read: 1,
        taken: 1,
        ..Counts::default()
    };
    let expected = manifest(vec![file], counts);
    assert_eq!(serde_json::to_string(&expected).expect("json"), text);
    let read: Manifest = serde_json::from_str(text).expect("read");
    assert_eq!(read, expected);
}
