-- The text of an item stands with it: to fetch it from another table takes as long as to find the item. It is
-- compressed; only a row that does not fit a page gives its longest parts away. What is asked for most stands in the
-- indexes, so that the longer rows are read where they are shown and by conditions that no index answers.
alter table finished_item
    alter collection set storage main,
    alter id set storage main,
    alter audience set storage main,
    alter owner set storage main,
    alter organisation set storage main,
    alter shared set storage main,
    alter licences set storage main,
    alter hrefs set storage main,
    alter body set storage main;

-- What is there is written anew, in the order of its pages.
cluster finished_item using finished_item_of_collection;
