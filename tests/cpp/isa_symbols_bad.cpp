// Everything that an ISA object must not have; check_isa_symbols.py has to say so.
#include <vector>

namespace ndloss::bad {

inline std::vector<double> shared_copy(double x) { return {x}; }

const std::vector<double> runs_at_load = shared_copy(1.0);

extern const int good_table;
const int good_table = 1;

int offered() { return static_cast<int>(runs_at_load.size()); }

}  // namespace ndloss::bad
