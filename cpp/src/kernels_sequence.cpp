// The sequence kernels of one ISA.
#include "kernels_sequence.hpp"

#include "kernel_table.hpp"

namespace ndloss::NDLOSS_ISA {

extern constinit const SequenceTables sequence_tables;
constinit const SequenceTables sequence_tables = {.single = sequence_table<float>(), .twice = sequence_table<double>()};

}  // namespace ndloss::NDLOSS_ISA
