import CLibPQ

@testable import LibPQ

enum TransactionStatus {
    case idle, active, inTransaction, inFailedTransaction
    /// The connection is broken.
    case unknown
}

extension Connection {
    var transactionStatus: TransactionStatus {
        guard let handle = self.openHandle else { return .unknown }
        return switch PQtransactionStatus(handle.pointer) {
        case PQTRANS_IDLE: .idle
        case PQTRANS_ACTIVE: .active
        case PQTRANS_INTRANS: .inTransaction
        case PQTRANS_INERROR: .inFailedTransaction
        default: .unknown
        }
    }
}
