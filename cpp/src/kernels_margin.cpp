// The margin kernels of one ISA.
#include "kernels_margin.hpp"

#include "kernel_table.hpp"

namespace ndloss::NDLOSS_ISA {

extern constinit const MarginTables margin_tables;
constinit const MarginTables margin_tables = {
    .single = margin_table<float>(), .twice = margin_table<double>(), .inside = labels_of_row_inside};

}  // namespace ndloss::NDLOSS_ISA
