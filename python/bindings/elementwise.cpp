// Elementwise losses by name: sums, maps and gradients of arrays of one shape.
#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <vector>

#include "arrays.hpp"
#include "registered.hpp"

namespace ndloss::binding {
namespace {

const RegisteredLoss& loss_named(const std::string& name) {
  for (const RegisteredLoss& loss : registered) {
    if (name == loss.name) {
      return loss;
    }
  }
  throw py::value_error("no elementwise loss is called '" + name + "'");
}

py::object bad_of(const BadValue& bad) {
  Accumulator holder;
  holder.bad = bad;
  return py::cast(holder).attr("bad");
}

/// A call of one loss on some arrays, with everything it refers to.
class BoundElementwise {
 public:
  BoundElementwise(const std::string& name, const std::vector<double>& parameters, const py::tuple& operands,
                   const py::object& weight, bool twice, int threads, std::int64_t row_divisor, const py::object& sample_weight,
                   const py::object& mask, const std::optional<double>& ignore_value) {
    const RegisteredLoss& loss = loss_named(name);
    if (parameters.size() != static_cast<std::size_t>(loss.parameters) ||
        operands.size() != static_cast<std::size_t>(loss.operands)) {
      throw py::value_error(name + ": wrong number of parameters or operands");
    }
    loss.make(loss_, parameters.data());
    call_.loss = loss_.erased;
    for (std::size_t k = 0; k < operands.size(); ++k) {
      call_.operands[k] = views_.add(operands[k]);
    }
    call_.weight = views_.add(weight);
    call_.sample_weight = views_.add(sample_weight);
    call_.mask = views_.add(mask);
    call_.ignores = ignore_value.has_value();
    call_.ignore_value = ignore_value.value_or(0);
    call_.compute = twice ? DType::float64 : DType::float32;
    call_.threads = threads;
    call_.row_divisor = row_divisor;
    call_.interrupt = signals();
  }
  BoundElementwise(const BoundElementwise&) = delete;
  BoundElementwise& operator=(const BoundElementwise&) = delete;

  /// The sum over elements [begin, end), added to `initial`; raw sums are not divided by rows.
  Accumulator accumulate(const Accumulator& initial, std::int64_t begin, std::int64_t end, bool raw) const {
    ElementwiseCall call = call_;
    call.initial = initial;
    call.begin = begin;
    call.end = end;
    call.raw = raw;
    return without_gil([&] { return ndloss::accumulate(call); });
  }

  py::object map(const py::object& out) const {
    const Output output = output_of(out);
    return bad_of(without_gil([&] { return ndloss::map(call_, output); }));
  }

  Accumulator gradients(const std::string& reduction, double factor, const py::object& upstream, const py::tuple& grads,
                        const py::object& value, const py::tuple& curvatures) const {
    Views views;
    ElementwiseGradients wanted;
    wanted.upstream = views.add(upstream);
    for (std::size_t k = 0; k < grads.size(); ++k) {
      wanted.grads[k] = output_of(grads[k]);
    }
    for (std::size_t k = 0; k < curvatures.size(); ++k) {
      wanted.curvatures[k] = output_of(curvatures[k]);
    }
    wanted.value = output_of(value);
    const Reduction kind = reduction == "mean" ? Reduction::mean : Reduction::sum;
    return without_gil([&] {
      wanted.scale = factor * gradient_scale(call_, kind);
      return ndloss::gradients(call_, wanted);
    });
  }

  /// The gradient for the weight, whatever the call's own weight.
  py::object weight_gradient(double scale, double offset, const py::object& upstream, const py::object& out) const {
    Views views;
    const ArrayView* g = views.add(upstream);
    const Output output = output_of(out);
    return bad_of(without_gil([&] { return ndloss::weight_gradient(call_, g, scale, offset, output); }));
  }

 private:
  AnyLoss loss_;
  Views views_;
  ElementwiseCall call_;
};

}  // namespace

void bind_elementwise(py::module_& m) {
  py::class_<BoundElementwise>(m, "ElementwiseCall")
      .def(py::init<const std::string&, const std::vector<double>&, const py::tuple&, const py::object&, bool, int,
                    std::int64_t, const py::object&, const py::object&, const std::optional<double>&>(),
           py::arg("name"), py::arg("parameters"), py::arg("operands"), py::arg("weight"), py::arg("twice"), py::arg("threads"),
           py::arg("row_divisor"), py::arg("sample_weight") = py::none(), py::arg("mask") = py::none(),
           py::arg("ignore_value") = py::none())
      .def("accumulate", &BoundElementwise::accumulate, py::arg("initial"), py::arg("begin") = 0, py::arg("end") = -1,
           py::arg("raw") = false)
      .def("map", &BoundElementwise::map, py::arg("out"))
      .def("gradients", &BoundElementwise::gradients, py::arg("reduction"), py::arg("factor"), py::arg("upstream"),
           py::arg("grads"), py::arg("value"), py::arg("curvatures") = py::tuple())
      .def("weight_gradient", &BoundElementwise::weight_gradient, py::arg("scale"), py::arg("offset"), py::arg("upstream"),
           py::arg("out"));
  m.attr("elementwise_block") = elementwise_block;
  py::list names;
  for (const RegisteredLoss& loss : registered) {
    names.append(loss.name);
  }
  m.attr("elementwise_names") = py::tuple(names);
  m.def("sum_to_shape", [](const py::array& from, const py::array& to) {
    const ArrayView view = view_of(from);
    const ArrayView shape = view_of(to);
    const Output output = output_of(to);
    without_gil([&] { sum_to_shape(view, shape, output); });
  });
}

}  // namespace ndloss::binding
