use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinEncodable};
use tokio::net::UdpSocket;

/// An authoritative server that knows a few records.
#[derive(Debug, Default, Clone)]
pub(crate) struct Zone {
    records: Vec<(Name, RData)>,
    broken: bool,
    silent_about: Option<RecordType>,
    edns: Edns,
}

/// What a server makes of queries with EDNS (RFC 6891).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edns {
    /// It answers them.
    #[default]
    Answered,
    /// It refuses them with this code.
    Refused(ResponseCode),
    /// It drops them.
    Dropped,
}

impl Zone {
    pub(crate) fn address(self, name: &str, address: Ipv4Addr) -> Self {
        self.with(name, RData::A(A(address)))
    }

    pub(crate) fn address6(self, name: &str, address: Ipv6Addr) -> Self {
        self.with(name, RData::AAAA(AAAA(address)))
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

    /// Never answers queries for records of this type.
    pub(crate) fn silent_about(self, kind: RecordType) -> Self {
        Self { silent_about: Some(kind), ..self }
    }

    pub(crate) fn edns(self, edns: Edns) -> Self {
        Self { edns, ..self }
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
                let Some(answer) = self.answer(&question) else { continue };
                socket.send_to(&answer.to_bytes().unwrap(), from).await.unwrap();
            }
        });
        address
    }

    fn answer(&self, question: &Message) -> Option<Message> {
        let mut answer = question.clone();
        answer.metadata.message_type = MessageType::Response;
        answer.metadata.recursion_available = true;
        let query = &question.queries[0];
        if self.silent_about == Some(query.query_type()) {
            return None;
        }
        match self.edns {
            Edns::Refused(code) if question.edns.is_some() => {
                answer.edns = None;
                answer.metadata.response_code = code;
                return Some(answer);
            }
            Edns::Dropped if question.edns.is_some() => return None,
            _ => {}
        }
        if self.broken {
            answer.metadata.response_code = ResponseCode::ServFail;
            return Some(answer);
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
        Some(answer)
    }
}
