// The vector kernels of one ISA.
#include "kernels_vectors.hpp"

namespace ndloss::NDLOSS_ISA {

extern constinit const VectorTables vector_tables;
constinit const VectorTables vector_tables = {
    .single = vector_table<float>(), .twice = vector_table<double>(), .sum = sum_losses};

}  // namespace ndloss::NDLOSS_ISA
