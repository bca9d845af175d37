import Glibc
import MartletBase

/// Networks of this machine that are far from each other: a network namespace each, joined by a
/// `DelayedWire`. In number i, from 1 on, the addresses are 10.203.i.1 and so on; nothing of it is seen
/// outside. Needs the rights to make namespaces and TUN devices.
final class FarNetworks {
    private let folder: String
    private var names: [String] = []
    private var wire: DelayedWire?

    private static let prefix = "10.203"

    /// - Parameter delay: one way, from each to each other.
    init(_ count: Int, delay: Interval, folder: String) throws(Failure) {
        self.folder = folder
        var ends: [DelayedWire.End] = []
        do throws(Failure) {
            for number in 1...count {
                let name = "martlet-bench-\(getpid())-\(number)"
                try ip("netns", "add", name)
                names.append(name)
                let device = "mb\(getpid())-\(number)"
                ends.append(try DelayedWire.makeEnd(device))
                try ip("link", "set", device, "netns", name)
                try ip("-n", name, "link", "set", "lo", "up")
                try ip("-n", name, "addr", "add", "\(Self.prefix).\(number).1/24", "dev", "lo")
                try ip("-n", name, "link", "set", device, "up")
                try ip("-n", name, "route", "add", "\(Self.prefix).0.0/16", "dev", device)
            }
        } catch {
            for end in ends { close(end) }
            remove()
            throw .refused(
                "networks that are far from each other need the rights to make network namespaces and TUN"
                    + " devices, as root has them, and ip and nsenter: \(error.text)")
        }
        wire = DelayedWire(ends, delay: delay) { packet in
            // Of IPv4 the third byte of the destination.
            guard packet.count >= 20, packet[0] >> 4 == 4 else { return nil }
            let number = Int(packet[18])
            return 1...count ~= number ? number - 1 : nil
        }
    }

    func address(_ network: Int, _ host: Int) throws(Failure) -> IPAddress {
        guard let address = IPAddress("\(Self.prefix).\(network).\(host)") else {
            throw .refused("network \(network) has no host \(host)")
        }
        return address
    }

    /// One more address there.
    func addHost(_ network: Int, _ host: Int) throws(Failure) {
        if host == 1 { return }
        try ip("-n", names[network - 1], "addr", "add", "\(try address(network, host))/32", "dev", "lo")
    }

    /// Starts a program there.
    func start(_ network: Int, _ name: String, _ words: [String]) throws(Failure) -> ServerProcess {
        let enter = [try Self.program("nsenter"), "--net=/run/netns/\(names[network - 1])", "--"]
        return try ServerProcess(name, enter + words, in: folder)
    }

    /// After the programs in them have been ended.
    func remove() {
        wire?.cut()
        wire = nil
        for name in names { try? ip("netns", "del", name) }
        names = []
    }

    private func ip(_ words: String...) throws(Failure) {
        let process = try ServerProcess("ip", [try Self.program("ip")] + words, in: folder)
        guard try process.awaitEnd() == 0 else {
            throw .refused("ip \(words.joined(separator: " ")): \(process.lastLines(1))")
        }
    }

    private static func program(_ name: String) throws(Failure) -> String {
        guard let path = ServerProcess.find(name) else { throw .refused("\(name) isn't installed") }
        return path
    }
}
