// The pack kernels of one ISA.
#include "kernels_pack.hpp"

#include "kernel_table.hpp"

namespace ndloss::NDLOSS_ISA {

extern constinit const PackTables pack_tables;
constinit const PackTables pack_tables = {
    .single = pack_table_of<float>(), .twice = pack_table_of<double>(), .label = pack_table_of<std::int64_t>()};

}  // namespace ndloss::NDLOSS_ISA
