import Testing

@testable import TidemarkCore

struct ReusedArrayTests {
    @Test func holdsNothingOfWhatWasThereBefore() {
        var array = ReusedArray<Int>()
        for number in 1...3 { array.append(number) }
        array.removeAll()
        #expect(array.isEmpty)
        array.append(count: 2, blank: 0) { added in
            #expect(added.count == 2)
            (added[0], added[1]) = (7, 8)
        }
        array.append(9)
        #expect(Array(array) == [7, 8, 9])
        // More than there has ever been.
        array.append(count: 40, blank: 0) { added in for index in added.indices { added[index] = index } }
        #expect(array.count == 43 && array.last == 39)
    }
}
