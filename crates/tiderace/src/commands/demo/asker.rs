//! Asks the running server, over gRPC, what the definitions name.

use anyhow::{Result, bail};
use std::collections::BTreeMap;
use tiderace_plan::Plan;
use tiderace_plan::model::Service;
use tiderace_serve::client::{Client, GetOnlineFeaturesRequest, GetOnlineFeaturesResponse};
use tiderace_serve::proto::get_online_features_request::Selection;
use tiderace_serve::proto::{Column, DoubleColumn, FeatureList, Int64Column, column::Values};
use tiderace_types::DataType;

/// The entity keys and the request data that a payment brings.
const CUSTOMER: &str = "customer_id";
const TERMINAL: &str = "terminal_id";
const AMOUNT: &str = "amount";

/// The service that the demo shows when there is a choice.
const PREFERRED: &str = "fraud_v1";

/// What to ask about one payment.
#[derive(Clone, Copy, Debug)]
pub struct About {
    pub customer: i64,
    pub terminal: i64,
    pub amount: f64,
}

/// A service that can be asked with what a payment has.
#[derive(Clone, Debug)]
pub struct Asked {
    pub name: String,
    /// Its entity keys, each [`CUSTOMER`] or [`TERMINAL`].
    pub keys: Vec<String>,
    /// Whether it wants [`AMOUNT`].
    pub with_amount: bool,
}

/// A table: a view of customers.
#[derive(Clone, Debug)]
pub struct Table {
    pub view: String,
    /// The outputs shown; by the first it is ranked.
    pub outputs: Vec<String>,
}

/// The table's outputs, where the view has them.
const SHOWN: [&str; 5] = [
    "amount_sum_1d",
    "tx_count_1d",
    "amount_avg_1d",
    "amount_avg_30d",
    "terminals_7d",
];

impl Asked {
    /// The service of `plan` to show.
    pub fn choose(plan: &Plan) -> Result<Asked> {
        let mut services: Vec<_> = plan.services.iter().collect();
        services.sort_by_key(|service| service.name != PREFERRED);
        match services
            .into_iter()
            .find_map(|service| asked(plan, service))
        {
            Some(asked) => Ok(asked),
            None => bail!(
                "the demo shows a feature service keyed by {CUSTOMER} or {TERMINAL} (int64) that \
                 requests nothing but {AMOUNT} (float64); the project has none"
            ),
        }
    }

    /// The request about one payment.
    pub fn request(&self, about: About, include_metadata: bool) -> GetOnlineFeaturesRequest {
        let key = |name: &String| match name.as_str() {
            CUSTOMER => int64s(CUSTOMER, vec![about.customer]),
            _ => int64s(TERMINAL, vec![about.terminal]),
        };
        let amount = Values::Doubles(DoubleColumn {
            values: vec![about.amount],
        });
        let amount = Column {
            name: AMOUNT.to_owned(),
            values: Some(amount),
        };
        GetOnlineFeaturesRequest {
            selection: Some(Selection::FeatureService(self.name.clone())),
            entities: self.keys.iter().map(key).collect(),
            request_data: self.with_amount.then_some(amount).into_iter().collect(),
            include_metadata,
            include_valid_until: false,
            ..GetOnlineFeaturesRequest::default()
        }
    }

    /// The same as arguments of `tiderace get`.
    pub fn arguments(&self, customer: i64, terminal: i64, amount: &str) -> String {
        let key = |name: &String| match name.as_str() {
            CUSTOMER => format!(" {CUSTOMER}={customer}"),
            _ => format!(" {TERMINAL}={terminal}"),
        };
        let keys: String = self.keys.iter().map(key).collect();
        match self.with_amount {
            true => format!("get {}{keys} {AMOUNT}={amount}", self.name),
            false => format!("get {}{keys}", self.name),
        }
    }

    /// The same as the body of the HTTP door.
    pub fn body(&self, customer: i64, terminal: i64, amount: &str) -> String {
        let key = |name: &String| match name.as_str() {
            CUSTOMER => format!(r#""{CUSTOMER}":[{customer}]"#),
            _ => format!(r#""{TERMINAL}":[{terminal}]"#),
        };
        let keys: Vec<String> = self.keys.iter().map(key).collect();
        let request = match self.with_amount {
            true => format!(r#","request_data":{{"{AMOUNT}":[{amount}]}}"#),
            false => String::new(),
        };
        let (name, keys) = (&self.name, keys.join(","));
        format!(r#"{{"service":"{name}","entities":{{{keys}}}{request}}}"#)
    }
}

impl Table {
    /// The view of customers to rank, if there is one.
    pub fn choose(plan: &Plan) -> Option<Table> {
        let keyed = [(CUSTOMER.to_owned(), DataType::Int64)];
        let view = plan.views.iter().find(|view| view.entity.keys == keyed)?;
        let numeric =
            |data_type: &DataType| matches!(data_type, DataType::Int64 | DataType::Float64);
        let outputs = view.spec.outputs.iter().filter(|o| numeric(&o.data_type));
        let mut names: Vec<String> = outputs.map(|output| output.name.clone()).collect();
        let place = |name: &String| SHOWN.iter().position(|shown| shown == name);
        names.sort_by_key(|name| place(name).unwrap_or(SHOWN.len()));
        names.truncate(SHOWN.len());
        (!names.is_empty()).then(|| Table {
            view: view.name.clone(),
            outputs: names,
        })
    }

    /// The request for the table's outputs of customers.
    pub fn request(&self, customers: Vec<i64>) -> GetOnlineFeaturesRequest {
        let name = |output: &String| format!("{}:{output}", self.view);
        let names = self.outputs.iter().map(name).collect();
        GetOnlineFeaturesRequest {
            selection: Some(Selection::Features(FeatureList { names })),
            entities: vec![int64s(CUSTOMER, customers)],
            ..GetOnlineFeaturesRequest::default()
        }
    }
}

/// Sends a request; an answer without rows is a failure too.
pub async fn ask(
    client: &mut Client,
    request: GetOnlineFeaturesRequest,
) -> Result<GetOnlineFeaturesResponse, String> {
    match client.get(request).await {
        Ok(answer) if answer.rows.is_empty() => Err("the answer has no rows".to_owned()),
        Ok(answer) => Ok(answer),
        Err(error) => Err(error.to_string()),
    }
}

fn asked(plan: &Plan, service: &Service) -> Option<Asked> {
    let mut keys: BTreeMap<&str, &DataType> = BTreeMap::new();
    for feature in &service.features {
        let entity = &plan.views[feature.view].entity;
        keys.extend(entity.keys.iter().map(|(name, kind)| (name.as_str(), kind)));
    }
    let known = |(name, kind): (&&str, &&DataType)| {
        [CUSTOMER, TERMINAL].contains(name) && **kind == DataType::Int64
    };
    let payable = |(name, kind): (&String, &DataType)| name == AMOUNT && *kind == DataType::Float64;
    let fits = !keys.is_empty() && keys.iter().all(known) && service.request.iter().all(payable);
    fits.then(|| Asked {
        name: service.name.clone(),
        keys: keys.into_keys().map(str::to_owned).collect(),
        with_amount: !service.request.is_empty(),
    })
}

fn int64s(name: &str, values: Vec<i64>) -> Column {
    Column {
        name: name.to_owned(),
        values: Some(Values::Int64s(Int64Column { values })),
    }
}
