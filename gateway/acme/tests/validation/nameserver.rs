use std::net::{Ipv4Addr, SocketAddr};

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinEncodable};
use tokio::net::UdpSocket;

/// An authoritative server that knows a few records.
#[derive(Debug, Default, Clone)]
pub(crate) struct Zone {
    records: Vec<(Name, RData)>,
    broken: bool,
}

impl Zone {
    pub(crate) fn address(self, name: &str, address: Ipv4Addr) -> Self {
        self.with(name, RData::A(A(address)))
    }

    pub(crate) fn txt(self, name: &str, strings: &[&str]) -> Self {
        let strings = strings.iter().map(|&text| text.to_owned()).collect();
        self.with(name, RData::TXT(TXT::new(strings)))
    }

    pub(crate) fn cname(self, name: &str, target: &str) -> Self {
        self.with(name, RData::CNAME(CNAME(Name::from_ascii(target).unwrap())))
    }

    /// Answers everything with SERVFAIL.
    pub(crate) fn broken() -> Self {
        Self { broken: true, ..Self::default() }
    }

    fn with(mut self, name: &str, data: RData) -> Self {
        self.records.push((Name::from_ascii(name).unwrap(), data));
        self
    }

    /// Serves the zone on a port of loopback until the test ends.
    pub(crate) async fn serve(self) -> SocketAddr {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                let question = Message::from_bytes(&buffer[..length]).unwrap();
                let answer = self.answer(&question).to_bytes().unwrap();
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        address
    }

    fn answer(&self, question: &Message) -> Message {
        let mut answer = question.clone();
        answer.metadata.message_type = MessageType::Response;
        answer.metadata.recursion_available = true;
        let query = &question.queries[0];
        if self.broken {
            answer.metadata.response_code = ResponseCode::ServFail;
            return answer;
        }
        let mut known = false;
        for (name, data) in &self.records {
            if name == query.name() {
                known = true;
                let kind = data.record_type();
                if kind == query.query_type() || kind == RecordType::CNAME {
                    answer.answers.push(Record::from_rdata(name.clone(), 300, data.clone()));
                }
            }
        }
        if !known {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        answer
    }
}
