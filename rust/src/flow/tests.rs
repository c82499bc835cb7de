//! Tests of the session table.
#[test]
fn sizes() {
    eprintln!("conn {} tcp {} end {} count {} history {} session {} stream {}", size_of::<super::conn::Conn>(), size_of::<super::tcp::Conversation>(), size_of::<super::tcp::End>(), size_of::<super::conn::Count>(), size_of::<super::history::History>(), size_of::<crate::session::Session>(), size_of::<crate::stream::Stream>());
}
