# Gets a certificate with Ruby's acme-client by http-01, and writes chain.pem and key.pem.
# Usage: ruby acme-client.rb DIRECTORY ROOT ADDRESS PORT NAME... (in the folder for the files)
require 'acme-client'
require 'openssl'
require 'socket'

directory, root, address, port, *names = ARGV

answers = {}
listener = TCPServer.new(address, port.to_i)
Thread.new do
  loop do
    connection = listener.accept
    path = connection.gets.to_s.split(' ')[1]
    # The rest of the head, up to the empty line.
    until (line = connection.gets).nil? || line.strip.empty?; end
    answer = answers[path]
    status = answer ? '200 OK' : '404 Not Found'
    connection.write("HTTP/1.1 #{status}\r\nContent-Length: #{answer.to_s.length}\r\nConnection: close\r\n\r\n#{answer}")
    connection.close
  end
end

# Waits until a resource is no longer in one of these states.
def settle(resource, *states)
  100.times do
    return unless states.include?(resource.status)
    sleep 0.1
    resource.reload
  end
  raise "still #{resource.status}"
end

client = Acme::Client.new(
  private_key: OpenSSL::PKey::EC.generate('prime256v1'),
  directory: directory,
  connection_options: { ssl: { ca_file: root } }
)
client.new_account(contact: 'mailto:admin@example.com', terms_of_service_agreed: true)
order = client.new_order(identifiers: names)
order.authorizations.each do |authorization|
  challenge = authorization.http
  answers["/#{challenge.filename}"] = challenge.file_content
  challenge.request_validation
  settle(challenge, 'pending', 'processing')
  raise "the challenge is #{challenge.status}: #{challenge.error}" unless challenge.status == 'valid'
end
key = OpenSSL::PKey::RSA.new(2048)
order.finalize(csr: Acme::Client::CertificateRequest.new(private_key: key, names: names))
settle(order, 'processing', 'ready')
File.write('chain.pem', order.certificate)
File.write('key.pem', key.to_pem)
